import type { Name } from '@peerage/protocol'
import { abortError, onAbort } from './abort.js'
import { aSignal, channelData, check, checkOptions } from './check.js'
import type { Clock } from './clock.js'
import { Emitter } from './emitter.js'
import type { Terms } from './handshake-signal.js'
import type { ChannelPath } from './path.js'
import { readPath } from './path.js'
import type { Stay } from './signaling.js'

/** What a channel carries: text or bytes. */
export type ChannelData = string | ArrayBuffer | ArrayBufferView<ArrayBuffer>

export interface ChannelEvents {
  /** Text, or bytes, as the other side sent it. */
  message: [data: string | Uint8Array<ArrayBuffer>]
  /** The last event; the reason is for people. */
  close: [reason: string]
}

/** A channel's state at one moment. Times are milliseconds since the epoch. */
export interface ChannelInfo extends ChannelPath {
  peer: Name
  label: string
  openedAt: number
  lastMessageAt: number | undefined
  messagesSent: number
  messagesReceived: number
}

const CHANNEL_EVENTS = { message: true, close: true } as const

interface Waiting {
  data: string | Uint8Array<ArrayBuffer>
  done: (error?: Error) => void
}

/** Above this, `send` waits: enough to keep a fast path busy, small beside what a browser buffers (16 MiB). */
const FULL_BYTES = 1024 * 1024
/** Below this there is room again, and `bufferedamountlow` says so. */
export const ROOM_BYTES = 256 * 1024
/** What arrives before anyone listens is kept up to this; beyond it the channel closes rather than lose a part. */
const UNHEARD_BYTES_MAX = 4 * 1024 * 1024
/** What a message costs beside its content: empty ones are bounded, too. */
const MESSAGE_BYTES = 128
/** How long a closing channel waits for the other side to have taken everything. */
const CLOSE_MS = 10_000

/** Whether a stream holds so much already that more must wait. */
export function isFull(stream: RTCDataChannel): boolean {
  return stream.bufferedAmount > FULL_BYTES
}

/** What a channel is made of. */
export interface ChannelParts {
  to: Stay
  terms: Terms
  stream: RTCDataChannel
  connection: RTCPeerConnection
  /** The addresses that the other side announced as its own. */
  hosts: ReadonlySet<string>
  clock: Clock
  onError: (error: unknown, stage?: 'listener') => void
  /** Tells the other side how many messages there were, so that it closes when it has them. */
  bye: (messages: number) => void
  /** Ends the connection, and so the channel. */
  end: (reason: string) => void
}

/** An open data channel to one peer. */
export class Channel {
  readonly peer: Name
  readonly label: string
  /** False: later messages may overtake earlier ones. */
  readonly ordered: boolean
  /** False: a message that is lost too often is given up. */
  readonly reliable: boolean
  readonly openedAt: number
  readonly #parts: ChannelParts
  readonly #events: Emitter<ChannelEvents>
  readonly #waiting: Waiting[] = []
  #unheard: (string | Uint8Array<ArrayBuffer>)[] = []
  #unheardBytes = 0
  #sent = 0
  #received = 0
  #lastMessageAt: number | undefined
  /** With so many messages received, the other side is through. */
  #expected = Infinity
  #drained: () => void = () => undefined
  #state: 'open' | 'closing' | 'closed' = 'open'

  constructor(parts: ChannelParts) {
    const { to, terms, stream } = parts
    this.peer = to.name
    this.label = terms.label
    this.ordered = terms.ordered
    this.reliable = terms.maxRetransmits === undefined
    this.openedAt = parts.clock.now()
    this.#parts = parts
    this.#events = new Emitter(CHANNEL_EVENTS, (error) => parts.onError(error, 'listener'))
    stream.bufferedAmountLowThreshold = ROOM_BYTES
    stream.addEventListener('bufferedamountlow', () => this.#pump())
    stream.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) =>
      this.#take(typeof data === 'string' ? data : new Uint8Array(data)),
    )
  }

  get state(): 'open' | 'closing' | 'closed' {
    return this.#state
  }

  /** True while `send` would have to wait. */
  get busy(): boolean {
    return this.#waiting.length > 0 || isFull(this.#parts.stream)
  }

  /** Messages that came before the first listener are handed to it soon. Returns the way to stop listening. */
  on<K extends keyof ChannelEvents>(event: K, listener: (...args: ChannelEvents[K]) => unknown): () => void {
    const stop = this.#events.on(event, listener)
    // Not before the listener's owner has the way to stop.
    if (event === 'message') queueMicrotask(() => this.#drain())
    return stop
  }

  /**
   * Resolves when the channel has room for it and took it; messages keep their order.
   * @throws when the channel is not open, the message is over the path's message size (256 KiB or less), or aborted;
   * a TypeError for what is neither text nor bytes
   */
  async send(data: ChannelData, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    check('data', data, channelData)
    checkOptions(options, { signal: aSignal })
    const { signal } = options
    const bytes = typeof data === 'string' ? data : toBytes(data)
    if (signal?.aborted === true) throw abortError(signal)
    return new Promise((resolve, reject) => {
      const ignore = onAbort(signal, () => waiting.done(abortError(signal)))
      const waiting: Waiting = {
        data: bytes,
        done: (error) => {
          ignore()
          const index = this.#waiting.indexOf(waiting)
          if (index >= 0) this.#waiting.splice(index, 1)
          if (error === undefined) resolve()
          else reject(error)
        },
      }
      if (this.#state !== 'open')
        return waiting.done(new Error('the channel is closed; `peer.p2p.connect` opens another'))
      this.#waiting.push(waiting)
      this.#pump()
    })
  }

  /** Which way it goes and how it fares, measured now. */
  async info(): Promise<ChannelInfo> {
    const path = readPath(await this.#parts.connection.getStats(), this.#parts.hosts)
    const { peer, label, openedAt } = this
    return {
      ...path,
      peer,
      label,
      openedAt,
      lastMessageAt: this.#lastMessageAt,
      messagesSent: this.#sent,
      messagesReceived: this.#received,
    }
  }

  /**
   * Takes no more, waits until the other side has what was sent, then closes. A stream's own close is not enough:
   * implementations drop what is under way (RFC 8831 §6.7 only asks for it to be sent).
   */
  async close(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    const { clock, bye, end } = this.#parts
    if (this.#waiting.length > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
    bye(this.#sent)
    await new Promise<void>((resolve) => {
      const timer = clock.after(CLOSE_MS, () => end('closed here'))
      this.#events.on('close', () => {
        timer.cancel()
        resolve()
      })
    })
  }

  /** The other side closes, after this many messages: called by the P2P controller. */
  closing(messages: number): void {
    this.#expected = this.reliable ? messages : 0
    this.#endWhenComplete()
  }

  /** The connection has ended: called once by the P2P controller. */
  finish(reason: string): void {
    const why = this.#state === 'closing' ? 'closed here' : reason
    this.#state = 'closed'
    for (const { done } of this.#waiting.slice()) done(new Error(`the channel closed: ${why}`))
    this.#drained()
    this.#events.emit('close', why)
  }

  #pump(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined) return this.#drained()
      if (isFull(this.#parts.stream)) return
      try {
        // The union of overloads does not take a union of arguments.
        if (typeof next.data === 'string') this.#parts.stream.send(next.data)
        else this.#parts.stream.send(next.data)
        this.#sent++
        this.#lastMessageAt = this.#parts.clock.now()
        next.done()
      } catch (error) {
        next.done(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }

  #take(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#state === 'closed') return
    this.#received++
    this.#lastMessageAt = this.#parts.clock.now()
    this.#unheard.push(data)
    this.#unheardBytes += data.length + MESSAGE_BYTES
    this.#drain()
    if (this.#unheardBytes > UNHEARD_BYTES_MAX) this.#parts.end('nobody listens for its messages')
    this.#endWhenComplete()
  }

  #drain(): void {
    while (this.#events.has('message')) {
      const data = this.#unheard.shift()
      if (data === undefined) return
      this.#unheardBytes -= data.length + MESSAGE_BYTES
      this.#events.emit('message', data)
    }
  }

  #endWhenComplete(): void {
    if (this.#received >= this.#expected) this.#parts.end('closed by the other peer')
  }
}

function toBytes(data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data)
}
