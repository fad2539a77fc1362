import type { Name } from '@peerage/protocol'
import { utf8Length } from '@peerage/protocol'
import type { Stay } from '../../delivery/signaling.js'
import { abortError, onAbort } from '../../lib/abort.js'
import { aSignal, channelData, check, checkOptions } from '../../lib/check.js'
import type { Timer } from '../../lib/clock.js'
import { Emitter } from '../../lib/emitter.js'
import { PeerageError } from '../../lib/error.js'
import type { Handshake, Opened } from '../handshake/handshake.js'
import type { P2PContext, Terms } from '../options.js'
import { Frames, readPath } from './streams.js'
import type { ChannelPath, Stream, StreamData } from './streams.js'

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

/** `done` without an error: it was taken. */
type Waiting = { data: StreamData; done: (error?: unknown) => void }

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

/** What an open channel is made of. */
export interface OpenChannelOptions {
  to: Stay
  terms: Terms
  handshake: Handshake
  opened: Opened
  context: Pick<P2PContext, 'clock' | 'carriers' | 'onError'>
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
  readonly #options: OpenChannelOptions
  readonly #stream: Stream
  readonly #frames: Frames
  readonly #messageBytesMax: number
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
  #resolveOver: () => void = () => undefined
  readonly #over = new Promise<void>((resolve) => (this.#resolveOver = resolve))

  constructor(options: OpenChannelOptions) {
    const { to, terms, handshake, opened, context } = options
    this.peer = to.name
    this.label = terms.label
    this.ordered = terms.ordered
    this.reliable = terms.maxRetransmits === undefined
    this.openedAt = context.clock.now()
    this.#options = options
    this.#events = new Emitter(CHANNEL_EVENTS, (error) => context.onError(error, 'listener'))
    this.#stream = opened.streams.data
    this.#messageBytesMax = opened.negotiation.messageBytesMax
    this.#frames = new Frames(context, to, opened.streams.frames, (messages) => {
      handshake.heardBye()
      this.#closing(messages)
    })
    this.#stream.listen(
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
    return this.#waiting.length > 0 || this.#stream.isFull
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
   * @throws a PeerageError: `closed` when the channel is not open, or ends before it has room; `too-large` over what the
   * other side's WebRTC stack takes (64 KiB to 256 KiB), which leaves the channel open; the signal's reason when aborted;
   * a TypeError for what is neither text nor bytes
   */
  async send(data: ChannelData, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    check('data', data, channelData)
    checkOptions(options, { signal: aSignal })
    const { signal } = options
    const bytes = typeof data === 'string' ? data : toBytes(data)
    if (signal?.aborted === true) throw abortError(signal)
    this.#checkSize(bytes)
    if (this.#state !== 'open') throw new PeerageError('closed', `the channel is closed; ${ANOTHER}`)
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
      this.#waiting.push(waiting)
      this.#pump()
    })
  }

  /** Which way it goes and how it fares, measured now. */
  async info(): Promise<ChannelInfo> {
    const { connection, hosts } = this.#options.opened.negotiation
    return {
      ...readPath(await connection.getStats(), hosts),
      peer: this.peer,
      label: this.label,
      openedAt: this.openedAt,
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
    // Also where its path was lost: the application does not want it back.
    if (this.#state !== 'closing') this.#options.handshake.unwanted()
    if (this.#state === 'open') {
      this.#state = 'closing'
      if (this.#waiting.length > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
      this.#sayBye()
      this.#limitWait('closed here')
    }
    return this.#over
  }

  /** The other side closes, after this many messages. */
  #closing(messages: number): void {
    if (this.#state === 'closed') return
    // Of an unreliable channel some may never come. What is no number is none.
    this.#expected = this.reliable && messages > 0 ? messages : 0
    this.#options.handshake.unwanted()
    this.#limitWait('closed by the other peer')
  }

  /** The connection has ended: called once by the P2P controller. `lost`: by itself, so nobody is to hear a goodbye. */
  finish(reason: string, lost: boolean): void {
    const why = this.#state === 'closing' ? 'closed here' : reason
    this.#state = 'closed'
    this.#limit?.cancel()
    this.#stream.stop()
    for (const { done } of this.#waiting.slice())
      done(new PeerageError('closed', `the channel closed (${why}); ${ANOTHER}`))
    if (!lost) this.#sayBye()
    this.#drained()
    this.#frames.close()
    this.#events.emit('close', why)
    this.#resolveOver()
  }

  /** What was sent may be a lot for this path: it has time while some of it leaves or comes. */
  #limitWait(reason: string): void {
    if (this.#state === 'closed') return
    const { handshake, context } = this.#options
    const progress = (): number => this.#received - this.#stream.bufferedAmount
    const before = progress()
    // What a stack took last may be under way for a while, though its buffer is empty.
    const idleMs = context.clock.now() - (this.#lastMessageAt ?? -Infinity)
    const isMoving = this.#expected !== undefined || this.#stream.bufferedAmount > 0
    const waitMs = isMoving ? CLOSE_MS : Math.min(CLOSE_MS, Math.max(ANSWER_MS, CLOSE_MS - idleMs))
    this.#limit?.cancel()
    this.#limit = context.clock.after(waitMs, () => {
      if (progress() > before) this.#limitWait(reason)
      else handshake.end(reason)
    })
    this.#endWhenComplete()
  }

  #sayBye(): void {
    if (this.#saidBye) return
    this.#saidBye = true
    this.#frames.bye(this.#sent)
  }

  #checkSize(data: StreamData): void {
    const most = this.#messageBytesMax
    if (data.length * (typeof data === 'string' ? UNIT_BYTES_MAX : 1) <= most) return
    const bytes = typeof data === 'string' ? utf8Length(data) : data.length
    const detail = `a message of ${bytes} bytes: this channel carries at most ${most} in one; send it in parts`
    if (bytes > most) throw new PeerageError('too-large', detail)
  }

  #pump(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined) return this.#drained()
      if (this.#stream.isFull) return this.#stream.awaitRoom()
      try {
        this.#stream.send(next.data)
        this.#sent++
        this.#lastMessageAt = this.#options.context.clock.now()
        next.done()
      } catch (error) {
        next.done(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }

  #take(data: StreamData): void {
    if (this.#state === 'closed') return
    this.#received++
    this.#lastMessageAt = this.#options.context.clock.now()
    this.#unheard.push(data)
    this.#unheardBytes += data.length + MESSAGE_BYTES
    this.#drain()
    if (this.#unheardBytes > UNHEARD_BYTES_MAX)
      this.#options.handshake.close('nobody listens for its messages')
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
    if (this.#state !== 'open' && !this.#saidBye) return
    if (this.#expected !== undefined && this.#received >= this.#expected)
      this.#options.handshake.close('closed by the other peer')
  }
}

const toBytes = (data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data)
