import type { Name } from '@peerage/protocol'
import { utf8Length } from '@peerage/protocol'
import type { Holder } from '../../delivery/signaling.js'
import { abortError, onAbort } from '../../lib/abort.js'
import { aSignal, channelData, check, checkOptions } from '../../lib/check.js'
import type { Timer } from '../../lib/clock.js'
import { Emitter } from '../../lib/emitter.js'
import { PeerageError } from '../../lib/error.js'
import type { Opened } from '../handshake/events.js'
import type { Handshake } from '../handshake/handshake.js'
import type { P2PContext, Terms } from '../options.js'
import { readPath } from './path.js'
import type { ChannelPath } from './path.js'
import { Frames, KEPT_BYTES_MAX, KEPT_MESSAGE_BYTES } from './streams.js'
import type { Stream, StreamData } from './streams.js'

/** The data that `send` of a channel accepts: text or bytes. */
export type ChannelData = string | ArrayBuffer | ArrayBufferView<ArrayBuffer>

/** The events of a channel. Each value is the list of arguments of the event's listeners. */
export interface ChannelEvents {
  /** A message of the other peer: a string if it sent text, a Uint8Array if it sent bytes. */
  message: [data: string | Uint8Array<ArrayBuffer>]
  /** The channel has closed. No event follows. The reason is text for people. */
  close: [reason: string]
}

/** The result of `channel.info`: the path of a channel, and its counts. Times are in milliseconds since 1970. */
export interface ChannelInfo extends ChannelPath {
  /** The name of the other peer. */
  peer: Name
  /** The label of the channel. */
  label: string
  /** When it opened. */
  openedAt: number
  /** When the last message was sent or received. Undefined if there was no message yet. */
  lastMessageAt: number | undefined
  /** How many messages this peer has sent. */
  messagesSent: number
  /** How many messages this peer has received. */
  messagesReceived: number
}

const CHANNEL_EVENTS = { message: true, close: true } as const

/** A message that waits for room. `done` without an error: the stream has accepted it. */
type Waiting = { data: StreamData; done: (error?: unknown) => void }

/** How long a closing channel waits for the next message to leave or to arrive (PP18). */
const CLOSE_MS = 10_000
/** The shortest wait for the other side's goodbye, however long ago the last message was (PP18). */
const ANSWER_MS = 2_000
/** A UTF-16 code unit takes at most this many bytes in UTF-8. */
const UNIT_BYTES_MAX = 3

const NO_VERIFY = 'the other peer wants to verify this connection, and this peer has no `verify`'
const ANOTHER = '`peer.p2p.connect` opens another'

/** What a channel is made from. */
export interface OpenChannelOptions {
  to: Holder
  terms: Terms
  handshake: Handshake
  opened: Opened
  context: Pick<P2PContext, 'clock' | 'carriers' | 'onError'>
}

/**
 * An open channel (a WebRTC data channel) to one peer. Messages go directly from peer to peer or through a TURN server,
 * and do not pass a Peerage node.
 * @example
 * const channel = await peer.p2p.connect('bob')
 * channel.on('message', (data) => console.log(data))
 * channel.on('close', (reason) => console.log(`closed: ${reason}`))
 * await channel.send('hello')
 * await channel.close()
 */
export class Channel {
  /** The name of the other peer. */
  readonly peer: Name
  /** The label, which distinguishes several channels to one peer. */
  readonly label: string
  /** False: a later message may arrive before an earlier one. */
  readonly ordered: boolean
  /** False: a lost message is given up after it was sent again `maxRetransmits` times. */
  readonly reliable: boolean
  /** When it opened, in milliseconds since 1970. */
  readonly openedAt: number
  readonly #options: OpenChannelOptions
  readonly #stream: Stream
  readonly #frames: Frames
  readonly #messageBytesMax: number
  readonly #events: Emitter<ChannelEvents>
  readonly #waiting: Waiting[] = []
  /** Messages that arrived while nobody listened. */
  #unread: StreamData[] = []
  #unreadBytes = 0
  #sent = 0
  #received = 0
  #lastMessageAt: number | undefined
  /** How many messages the other side sent in all. Its goodbye tells it. */
  #expected: number | undefined
  #saidBye = false
  #drained: () => void = () => undefined
  /** Runs while the channel is closing. */
  #limit: Timer | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  #resolveOver: () => void = () => undefined
  readonly #over = new Promise<void>((resolve) => (this.#resolveOver = resolve))

  /** @internal `peer.p2p` makes channels. */
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
    this.#frames = new Frames(context, to, opened.streams.frames, {
      onBye: (messages) => {
        handshake.heardBye()
        this.#closing(messages)
      },
      onVerify: () => handshake.end(NO_VERIFY, 'not-verified'),
    })
    this.#stream.listen(
      (data) => this.#take(data),
      () => this.#pump(),
    )
  }

  /** `closing`: this side has called `close`, and the other peer has not received everything yet. */
  get state(): 'open' | 'closing' | 'closed' {
    return this.#state
  }

  /** True as soon as either side has begun to close the channel. */
  get isEnding(): boolean {
    return this.#state !== 'open' || this.#expected !== undefined
  }

  /** True while `send` would wait, because more than 1 MiB has not left this machine yet. */
  get busy(): boolean {
    return this.#waiting.length > 0 || this.#stream.isFull
  }

  /** How many bytes of sent messages have not left this machine yet. Messages for which `send` still waits do not count. */
  get bufferedAmount(): number {
    return this.#stream.bufferedAmount
  }

  /**
   * The largest message that `send` takes, in bytes of UTF-8 for text: 64 KiB to 256 KiB with most WebRTC stacks. It may
   * be `Infinity` (SPEC.md, PP33).
   */
  get messageBytesMax(): number {
    return this.#messageBytesMax
  }

  /**
   * Calls `listener` at each `event`. Returns a function that removes the listener. The first `message` listener also gets
   * the messages that arrived before it was added, up to 4 MiB, after `on` has returned (SPEC.md, PP20). An error that a
   * listener throws becomes an `error` event of the peer. After `close`, no event comes any more, and a new listener is
   * not an error: look at `state`.
   * @throws TypeError for an event that does not exist
   */
  on<K extends keyof ChannelEvents>(event: K, listener: (...args: ChannelEvents[K]) => unknown): () => void {
    const stop = this.#events.on(event, listener)
    // The listener runs later, so that the caller already has the function that removes it.
    if (event === 'message') queueMicrotask(() => this.#drain())
    return stop
  }

  /**
   * Sends one message. While more than 1 MiB is buffered, it waits (SPEC.md, PP19). Resolves when the WebRTC stack has
   * accepted the message, not when the other peer has received it. Messages are sent in the order of the calls. Do not
   * change the bytes before the promise resolves.
   * @throws PeerageError `closed` if the channel is not open, or ends before the message was accepted
   * @throws PeerageError `too-large` if the message is larger than the WebRTC stack of either side allows (64 KiB to 256
   * KiB with most stacks; SPEC.md, PP33). The channel stays open.
   * @throws the reason of `options.signal` when it aborts before the message was accepted
   * @throws TypeError if `data` is neither text nor bytes
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

  /**
   * Returns the current path of the channel, and the counts of its messages.
   * @example
   * const { path, rttMs } = await channel.info()
   */
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
   * Closes the channel. `send` rejects from now on, but earlier messages still arrive. Resolves when the other peer has
   * received them all, or when no message has left for 10 s (SPEC.md, PP18). Neither side's SDK reopens the channel
   * (PP34). You may call it again.
   */
  async close(): Promise<void> {
    // We say goodbye, because stacks that close a stream drop messages that wait (RFC 8831 §6.7 only asks to send them).
    // A channel whose path was lost is marked too, so that the SDK does not reopen it.
    if (this.#state !== 'closing') this.#options.handshake.markClosed()
    if (this.#state === 'open') {
      this.#state = 'closing'
      if (this.#waiting.length > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
      this.#sayBye()
      this.#limitWait('closed here')
    }
    return this.#over
  }

  /** The other side has said goodbye. It sent this many messages in all. */
  #closing(messages: number): void {
    if (this.#state === 'closed') return
    // On an unreliable channel some messages may never arrive. If the other side sent no number, we wait for none.
    this.#expected = this.reliable && messages > 0 ? messages : 0
    this.#options.handshake.markClosed()
    this.#limitWait('closed by the other peer')
  }

  /**
   * The connection has ended. The P2P controller calls this once. `lost`: its path was lost, so no goodbye is sent.
   * @internal
   */
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

  /** Ends a closing channel when nothing has left or arrived for a while. A slow path has time as long as it moves data. */
  #limitWait(reason: string): void {
    if (this.#state === 'closed') return
    const { handshake, context } = this.#options
    const progress = (): number => this.#received - this.#stream.bufferedAmount
    const before = progress()
    // The last message may still be in transit although the buffer is empty.
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
    this.#unread.push(data)
    this.#unreadBytes += data.length + KEPT_MESSAGE_BYTES
    this.#drain()
    if (this.#unreadBytes > KEPT_BYTES_MAX)
      this.#options.handshake.close('nobody listens for the messages of this channel')
    this.#endWhenComplete()
  }

  #drain(): void {
    while (this.#events.has('message')) {
      const data = this.#unread.shift()
      if (data === undefined) return
      this.#unreadBytes -= data.length + KEPT_MESSAGE_BYTES
      this.#events.emit('message', data)
    }
  }

  /** Ends the channel if the other side has said goodbye, all its messages have arrived, and this side has none to send. */
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
