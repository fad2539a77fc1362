import { StoreError } from '@peerage/client/transfer'
import { nameOf } from './browser-files.js'
import type { DownloadOrder, FromDownload, Pong, ToDownload } from './download-protocol.js'
import { transferable } from './protocol.js'
import type { Sink } from './sink.js'

/** Files that go to the browser's downloads as they arrive, through the service worker of the page. */
export interface Downloads {
  /** Starts a download. `size` undefined: it is not known. @throws StoreError */
  open(name: string, size: number | undefined): Promise<Sink>
}

/** What downloads need of the page. */
export interface DownloadHost {
  /**
   * Finds the service worker. What is sent to it wakes it up. A download stays with its service worker, also when a newer
   * version of it takes over.
   */
  connect(): Post
  /** Asks the browser for an address below the scope, as `ID/name`. Returns how to take the request away. */
  request(address: string): () => void
  /** Calls the listener when the page is left. */
  onLeave(listener: () => void): () => void
}

type Post = (order: DownloadOrder, port: MessagePort) => void

const START_DEADLINE_MS = 30_000
/** Firefox ends a service worker 30 s after its last message, also in the middle of a download. */
const PING_MS = 8_000
const PONG_DEADLINE_MS = 20_000
const END_DEADLINE_MS = 20_000
const IS_LOST = 'The browser has stopped the download before its end.'

/**
 * Registers the service worker. Undefined if this browser has none, does not allow it here, or cannot load it.
 * `base` is the address of the page.
 */
export async function registerDownloads(base: string): Promise<Downloads | undefined> {
  const container: ServiceWorkerContainer | undefined = navigator.serviceWorker
  if (container === undefined) return undefined
  try {
    const scope = new URL('downloads/', base)
    const registration = await container.register(new URL('downloads.js', base), { scope: scope.pathname })
    const worker = await activeWorker(registration)
    if (worker === undefined) return undefined
    return downloads({
      connect: () => {
        const current = registration.active ?? worker
        return (order, port) => current.postMessage(order, [port])
      },
      request: (address) => requestInFrame(new URL(address, scope)),
      onLeave: (listener) => {
        addEventListener('pagehide', listener)
        return () => removeEventListener('pagehide', listener)
      },
    })
  } catch (error) {
    // Refused by the browser or the person's settings, or not there: the node may be of another version.
    if (
      ['SecurityError', 'TypeError', 'NotSupportedError', 'InvalidStateError', 'AbortError'].includes(
        nameOf(error),
      )
    )
      return undefined
    throw error
  }
}

function activeWorker(registration: ServiceWorkerRegistration): Promise<ServiceWorker | undefined> {
  const { active, waiting, installing } = registration
  const worker = active ?? waiting ?? installing
  if (worker === null || worker.state === 'activated') return Promise.resolve(worker ?? undefined)
  return new Promise((resolve) => {
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated') resolve(worker)
      if (worker.state === 'redundant') resolve(undefined)
    })
  })
}

/** A frame, because a click on a link would ask the person whether to leave the page. */
function requestInFrame(url: URL): () => void {
  const frame = document.createElement('iframe')
  frame.hidden = true
  frame.title = 'download'
  frame.src = url.href
  document.body.append(frame)
  return () => frame.remove()
}

export function downloads(host: DownloadHost): Downloads {
  return {
    open: async (name, size) => {
      const sink = new DownloadSink(host, name, size)
      await sink.started()
      return sink
    },
  }
}

type DownloadState =
  | { name: 'starting' }
  /** The browser takes bytes: now if `isPulled`, else when it has taken those before. */
  | { name: 'open'; isPulled: boolean }
  /** The browser has all bytes, and the service worker was told so. */
  | { name: 'ending' }
  | { name: 'ended' }
  | { name: 'failed'; error: StoreError }

class DownloadSink implements Sink {
  readonly #host: DownloadHost
  readonly #name: string
  readonly #post: Post
  readonly #id = crypto.randomUUID()
  readonly #port: MessagePort
  readonly #stops: (() => void)[] = []
  #state: DownloadState = { name: 'starting' }
  #onChange: () => void = () => {}

  constructor(host: DownloadHost, name: string, size: number | undefined) {
    this.#host = host
    this.#name = name
    this.#post = host.connect()
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    port1.addEventListener('message', ({ data }: MessageEvent<FromDownload>) => this.#take(data))
    port1.start()
    this.#post({ type: 'open', id: this.#id, name, size }, port2)
    const pings = setInterval(() => this.#ping(), PING_MS)
    this.#stops.push(
      () => clearInterval(pings),
      () => port1.close(),
      host.onLeave(() => this.#tell({ type: 'abort' })),
    )
  }

  async started(): Promise<void> {
    const isBlocked = 'The browser did not start the download. It may have been blocked.'
    await this.#within(START_DEADLINE_MS, isBlocked, (state) => state.name !== 'starting')
  }

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#until((state) => state.name === 'open' && state.isPulled)
    this.#state = { name: 'open', isPulled: false }
    this.#tell({ type: 'bytes', bytes }, transferable({ bytes }))
  }

  async finish(): Promise<{ kind: 'saved'; where: string }> {
    // The next pull says that the browser has taken the last bytes.
    await this.#until((state) => state.name === 'open' && state.isPulled)
    this.#become({ name: 'ending' })
    this.#tell({ type: 'end' })
    await this.#within(END_DEADLINE_MS, IS_LOST, (state) => state.name === 'ended')
    return { kind: 'saved', where: this.#name }
  }

  async abort(): Promise<void> {
    if (this.#state.name === 'ended' || this.#state.name === 'failed') return
    this.#tell({ type: 'abort' })
    this.#fail('The download was given up.')
  }

  #take(message: FromDownload): void {
    switch (message.type) {
      case 'ready':
        if (this.#state.name === 'starting')
          this.#stops.push(this.#host.request(`${this.#id}/${encodeURIComponent(this.#name)}`))
        return
      case 'started':
        return this.#become({ name: 'open', isPulled: false })
      case 'pull':
        return this.#become({ name: 'open', isPulled: true })
      case 'ended':
        return this.#become({ name: 'ended' })
      case 'cancelled':
        return this.#fail('The download was cancelled in the browser, or its disk is full.')
    }
  }

  #become(state: DownloadState): void {
    if (this.#state.name === 'ended' || this.#state.name === 'failed') return
    this.#state = state
    if (state.name === 'ended' || state.name === 'failed') for (const stop of this.#stops) stop()
    this.#onChange()
  }

  #fail(message: string): void {
    this.#become({ name: 'failed', error: new StoreError('failed', message) })
  }

  /** Also finds out that the browser has ended the service worker, with which the download has ended. */
  #ping(): void {
    const { port1, port2 } = new MessageChannel()
    const lose = (): void => {
      // In the end the service worker forgets the download by itself.
      if (this.#state.name !== 'ending') this.#fail(IS_LOST)
    }
    const timer = setTimeout(lose, PONG_DEADLINE_MS)
    port1.addEventListener('message', ({ data }: MessageEvent<Pong>) => {
      clearTimeout(timer)
      port1.close()
      if (!data.isKnown) lose()
    })
    port1.start()
    try {
      this.#post({ type: 'ping', id: this.#id }, port2)
    } catch {
      lose() // the browser has removed the service worker
    }
  }

  #tell(message: ToDownload, buffers: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, buffers)
  }

  async #within(
    deadlineMs: number,
    otherwise: string,
    isSo: (state: DownloadState) => boolean,
  ): Promise<void> {
    const timer = setTimeout(() => this.#fail(otherwise), deadlineMs)
    try {
      await this.#until(isSo)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Only one call waits at a time. @throws StoreError if the download has failed */
  async #until(isSo: (state: DownloadState) => boolean): Promise<void> {
    while (!isSo(this.#state) && this.#state.name !== 'failed') {
      if (this.#state.name === 'ended') throw new Error('the download has ended')
      await new Promise<void>((resolve) => {
        this.#onChange = resolve
      })
    }
    if (this.#state.name === 'failed') throw this.#state.error
  }
}
