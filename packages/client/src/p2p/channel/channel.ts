import type { Name } from '@peerage/protocol'
import { utf8Length } from '@peerage/protocol'
import { abortError, onAbort } from '../../lib/abort.js'
import { aSignal, channelData, check, checkOptions } from '../../lib/check.js'
import type { Clock, Timer } from '../../lib/clock.js'
import { Emitter } from '../../lib/emitter.js'
import { PeerageError } from '../../lib/error.js'
import type { Terms } from '../handshake/handshake-signal.js'
import type { ChannelPath } from './path.js'
import { readPath } from './path.js'
import type { Stay } from '../../delivery/signaling.js'
import type { Stream, StreamData } from './stream.js'

/** What a channel carries: text or bytes. */
export type ChannelData = string | ArrayBuffer | ArrayBufferView<ArrayBuffer>

export interface ChannelEvents {
  /** Text, or bytes, as the other side sent it. */
  message: [data: StreamData]
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
  data: StreamData
  /** Undefined: it was taken. */
  done: (error?: unknown) => void
}

/** What arrives before anyone listens is kept up to this; beyond it the channel closes rather than lose a part. */
const UNHEARD_BYTES_MAX = 4 * 1024 * 1024
/** What a message costs beside its content: empty ones are bounded, too. */
const MESSAGE_BYTES = 128
/** How long a closing channel waits for the next message to leave or to come. */
const CLOSE_MS = 10_000
/** Where nothing has moved for longer than that, the other side answers a goodbye within this, or it is gone. */
const ANSWER_MS = 2_000
/** No UTF-16 unit takes more in UTF-8. */
const UNIT_BYTES_MAX = 3

const ANOTHER = '`peer.p2p.connect` opens another'

/** What a channel is made of. */
export interface ChannelParts {
  to: Stay
  terms: Terms
  stream: Stream
  connection: RTCPeerConnection
  /** The addresses that the other side announced as its own. */
  hosts: ReadonlySet<string>
  /** The largest message that both sides' stacks carry. */
  messageBytesMax: number
  clock: Clock
  onError: (error: unknown, stage?: 'listener') => void
  /** One side wants it closed: from now on its end is no loss, and what was lost before does not come back. */
  onClosing: () => void
  /** Tells the other side how many messages there were, so that it closes when it has them. */
  bye: (messages: number) => void
  /** Ends the connection, and so the channel: both sides know. */
  end: (reason: string) => void
  /** Ends it without the other side's goodbye. */
  giveUp: (reason: string) => void
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
  #unheard: StreamData[] = []
  #unheardBytes = 0
  #sent = 0
  #received = 0
  #lastMessageAt: number | undefined
  /** With so many messages received, the other side is through: known from its goodbye on. */
  #expected: number | undefined
  #saidBye = false
  #drained: () => void = () => undefined
  /** Runs while this side waits for what the other still has to take or to send. */
  #limit: Timer | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  readonly #over: Promise<void>
  #resolveOver: () => void = () => undefined

  constructor(parts: ChannelParts) {
    const { to, terms, stream } = parts
    this.peer = to.name
    this.label = terms.label
    this.ordered = terms.ordered
    this.reliable = terms.maxRetransmits === undefined
    this.openedAt = parts.clock.now()
    this.#parts = parts
    this.#events = new Emitter(CHANNEL_EVENTS, (error) => parts.onError(error, 'listener'))
    this.#over = new Promise((resolve) => (this.#resolveOver = resolve))
    stream.listen(
      (data) => this.#take(data),
      () => this.#pump(),
    )
  }

  get state(): 'open' | 'closing' | 'closed' {
    return this.#state
  }

  /** True from the moment that either side wants it closed. */
  get isEnding(): boolean {
    return this.#state !== 'open' || this.#expected !== undefined
  }

  /** True while `send` would have to wait. */
  get busy(): boolean {
    return this.#waiting.length > 0 || this.#parts.stream.isFull
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
   * @throws a PeerageError: `closed` when the channel is not open, or ends before it has room; `too-large` when the message is over what the other side's
   * WebRTC stack takes (64 KiB to 256 KiB), which leaves the channel open; the signal's reason when aborted;
   * a TypeError for what is neither text nor bytes
   */
  async send(data: ChannelData, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    check('data', data, channelData)
    checkOptions(options, { signal: aSignal })
    const { signal } = options
    const bytes = typeof data === 'string' ? data : toBytes(data)
    if (signal?.aborted === true) throw abortError(signal)
    const tooLarge = this.#tooLarge(bytes)
    if (tooLarge) throw tooLarge
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
        return waiting.done(new PeerageError('closed', `the channel is closed; ${ANOTHER}`))
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
   * implementations drop what is under way (RFC 8831 §6.7 only asks for it to be sent). Neither side opens the channel
   * again by itself.
   */
  async close(): Promise<void> {
    if (this.#state === 'open') await this.#close()
    // Its path was lost, and the application does not want it back.
    else if (this.#state === 'closed') this.#parts.onClosing()
    return this.#over
  }

  async #close(): Promise<void> {
    this.#state = 'closing'
    this.#parts.onClosing()
    if (this.#waiting.length > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
    this.#sayBye()
    this.#limitWait('closed here')
    this.#endWhenComplete()
  }

  /** The other side closes, after this many messages: called by the P2P controller. */
  closing(messages: number): void {
    if (this.#state === 'closed') return
    // Of an unreliable channel some may never come. What is no number is none.
    this.#expected = this.reliable && messages > 0 ? messages : 0
    this.#parts.onClosing()
    this.#limitWait('closed by the other peer')
    this.#endWhenComplete()
  }

  /** The connection has ended: called once by the P2P controller. `lost`: by itself, so nobody is to hear a goodbye. */
  finish(reason: string, lost: boolean): void {
    const why = this.#state === 'closing' ? 'closed here' : reason
    this.#state = 'closed'
    this.#limit?.cancel()
    this.#parts.stream.stop()
    for (const { done } of this.#waiting.slice())
      done(new PeerageError('closed', `the channel closed (${why}); ${ANOTHER}`))
    if (!lost) this.#sayBye()
    this.#drained()
    this.#events.emit('close', why)
    this.#resolveOver()
  }

  /** What was sent may be a lot for this path: it has time while some of it leaves or comes. */
  #limitWait(reason: string): void {
    if (this.#state === 'closed') return
    const before = this.#progress
    this.#limit?.cancel()
    this.#limit = this.#parts.clock.after(this.#patienceMs, () => {
      if (this.#progress > before) this.#limitWait(reason)
      else this.#parts.giveUp(reason)
    })
  }

  /** What a stack took last may be under way for a while, though its buffer is empty. */
  get #patienceMs(): number {
    if (this.#expected !== undefined || this.#parts.stream.bufferedAmount > 0) return CLOSE_MS
    const idleMs = this.#parts.clock.now() - (this.#lastMessageAt ?? -Infinity)
    return Math.min(CLOSE_MS, Math.max(ANSWER_MS, CLOSE_MS - idleMs))
  }

  get #progress(): number {
    return this.#received - this.#parts.stream.bufferedAmount
  }

  #sayBye(): void {
    if (this.#saidBye) return
    this.#saidBye = true
    this.#parts.bye(this.#sent)
  }

  #tooLarge(data: StreamData): Error | undefined {
    const most = this.#parts.messageBytesMax
    if (data.length * (typeof data === 'string' ? UNIT_BYTES_MAX : 1) <= most) return undefined
    const bytes = typeof data === 'string' ? utf8Length(data) : data.length
    const detail = `a message of ${bytes} bytes: this channel carries at most ${most} in one; send it in parts`
    return bytes > most ? new PeerageError('too-large', detail) : undefined
  }

  #pump(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined) return this.#drained()
      if (this.#parts.stream.isFull) return this.#parts.stream.awaitRoom()
      try {
        this.#parts.stream.send(next.data)
        this.#sent++
        this.#lastMessageAt = this.#parts.clock.now()
        next.done()
      } catch (error) {
        next.done(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }

  #take(data: StreamData): void {
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

  /** Goodbye was heard, everything before it too, and this side has nothing left to say. */
  #endWhenComplete(): void {
    const isThrough = this.#state === 'open' || this.#saidBye
    if (this.#expected !== undefined && this.#received >= this.#expected && isThrough)
      this.#parts.end('closed by the other peer')
  }
}

function toBytes(data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data)
}
