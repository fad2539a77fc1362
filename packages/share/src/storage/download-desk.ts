import type { DownloadOrder, FromDownload, Pong, ToDownload } from './download-protocol.js'

// The work of the service worker: it answers the request for a download with the bytes that the page sends.

/** The part of a service worker's global scope that is used here. */
export interface DownloadScope {
  readonly registration: { readonly scope: string }
  readonly clients: { get(id: string): Promise<unknown> }
  addEventListener(type: 'message', listener: (event: OrderEvent) => void): void
  addEventListener(type: 'fetch', listener: (event: FetchEventLike) => void): void
}

interface OrderEvent {
  data: DownloadOrder
  ports: readonly MessagePort[]
  source: { readonly id: string } | null
}

interface FetchEventLike {
  request: { readonly url: string }
  respondWith(response: Response): void
}

interface Download {
  name: string
  size: number | undefined
  port: MessagePort
  /** The page that sends the bytes. */
  clientId: string | undefined
  /** The browser has asked for it. Its bytes go to one place only. */
  isTaken: boolean
}

/** How often we look whether the page is still there. */
const LOOK_MS = 10_000

/** A newer version takes over when the browser finds the time, and never ends the downloads of this one. */
export function serveDownloads(scope: DownloadScope): void {
  const downloads = new Map<string, Download>()
  scope.addEventListener('message', ({ data, ports: [port], source }) => {
    if (port === undefined) return
    switch (data.type) {
      case 'open':
        downloads.set(data.id, {
          name: data.name,
          size: data.size,
          port,
          clientId: source?.id,
          isTaken: false,
        })
        return tell(port, { type: 'ready' })
      case 'ping': {
        const pong: Pong = { isKnown: downloads.has(data.id) }
        return port.postMessage(pong)
      }
    }
  })
  scope.addEventListener('fetch', (event) => {
    const id = idOf(event.request.url, scope.registration.scope)
    if (id === undefined) return
    const download = downloads.get(id)
    if (download === undefined || download.isTaken)
      return event.respondWith(new Response('This download is over.', { status: 404 }))
    download.isTaken = true
    const stream = streamOf(download, scope, () => downloads.delete(id))
    event.respondWith(new Response(stream, { headers: headersOf(download) }))
  })
}

/** The ID in `…/downloads/ID/name`. Undefined for any other address. */
function idOf(url: string, scope: string): string | undefined {
  if (!url.startsWith(scope)) return undefined
  const [id] = url.slice(scope.length).split('/')
  return id === '' ? undefined : id
}

/** The browser must save the bytes, whatever they are, and never show them as a page of this node. */
function headersOf({ name, size }: Download): Record<string, string> {
  // RFC 8187: characters that encodeURIComponent leaves as they are, and that are not allowed there.
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
  return {
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename*=UTF-8''${encoded}`,
    'Content-Security-Policy': "default-src 'none'",
    'X-Content-Type-Options': 'nosniff',
    ...(size === undefined ? {} : { 'Content-Length': String(size) }),
  }
}

function tell(port: MessagePort, message: FromDownload): void {
  port.postMessage(message)
}

/** It is closed: what is transferred through it goes nowhere, and its memory is free at once. */
const nowhere = new MessageChannel().port1
nowhere.close()

/** As `releaseBytes` of the SDK, which a service worker of one file cannot import. */
const release = ({ buffer }: Uint8Array<ArrayBuffer>): void => nowhere.postMessage(undefined, [buffer])

function streamOf(
  { port, clientId }: Download,
  { clients }: DownloadScope,
  onEnd: () => void,
): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setInterval> | undefined
  let isOver = false
  /** The bytes that the browser is taking. */
  let given: Uint8Array<ArrayBuffer> | undefined
  const end = (): void => {
    clearInterval(timer)
    isOver = true
    onEnd()
  }
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        const fail = (why: string): void => {
          if (isOver) return
          end()
          controller.error(new Error(why))
        }
        port.addEventListener('message', ({ data }: MessageEvent<ToDownload>) => {
          if (isOver) return
          switch (data.type) {
            case 'bytes':
              given = data.bytes
              return controller.enqueue(data.bytes)
            case 'end':
              end()
              controller.close()
              return tell(port, { type: 'ended' })
            case 'abort':
              return fail('the page gave up this download')
          }
        })
        port.start()
        // A page that has crashed does not say so.
        if (clientId !== undefined)
          timer = setInterval(() => {
            void clients.get(clientId).then((client) => client ?? fail('the page of this download is gone'))
          }, LOOK_MS)
        tell(port, { type: 'started' })
      },
      pull: () => {
        if (given !== undefined) release(given)
        given = undefined
        tell(port, { type: 'pull' })
      },
      cancel: () => {
        end()
        tell(port, { type: 'cancelled' })
      },
    },
    // Nothing is kept here: a pull means that the browser has taken all before.
    { highWaterMark: 0 },
  )
}
