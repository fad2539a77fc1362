import { isObject } from '@peerage/protocol'
import type { Carrier, Holder } from '../../delivery/signaling.js'
import type { Clock, Timer } from '../../lib/clock.js'
import type { P2PContext, Terms } from '../options.js'

// The two streams of a connection. WebRTC stacks differ in them, and this file hides that.

/** Text, or bytes in memory that nobody else uses. */
export type StreamData = string | Uint8Array<ArrayBuffer>

/**
 * Above this many buffered bytes a sender must wait (PP19). That keeps a fast path busy, and is small compared with the
 * 16 MiB that a browser buffers.
 */
const FULL_BYTES = 1024 * 1024
/** At this many buffered bytes, senders may go on. */
const ROOM_BYTES = 256 * 1024
/** How often we read the buffered amount while a sender waits, because `@roamhq/wrtc` never fires `bufferedamountlow`. */
const POLL_MS = 20
/**
 * If nothing has left the buffer for this long, the path is lost. A message of 256 KiB takes 40 s over a 56 kbit/s modem.
 */
const STALL_MS = 60_000

/** How much of one connection is kept while nobody listens. With more it closes, because it must not lose messages (PP20). */
export const KEPT_BYTES_MAX = 4 * 1024 * 1024
/** Each kept message counts this much in addition to its content, so that empty messages are bounded, too. */
export const KEPT_MESSAGE_BYTES = 128

/** What arrived on the streams of one connection before anyone listened, in bytes. */
export type Early = { bytes: number }

export interface StreamEvents {
  onOpen: () => void
  onClose: () => void
  /** Too much arrived while nobody listened. The rest is lost, so the connection must end. */
  onFlood: () => void
  /** A sender waits, and nothing has left the buffer for STALL_MS. */
  onStall: () => void
}

/** One RTCDataChannel that behaves the same with every WebRTC stack. */
export class Stream {
  readonly #channel: RTCDataChannel
  readonly #clock: Clock
  #onRoom: () => void = () => undefined
  #onStall: () => void = () => undefined
  #onFlood: () => void = () => undefined
  /** Messages that arrived before `listen` was called, or after `hold`. */
  readonly #kept: StreamData[] = []
  readonly #early: Early
  /** Whether the stack has its own copy of the bytes when its `send` returns. */
  readonly #copies: boolean
  #onData: ((data: StreamData) => void) | undefined
  /** Set by the first Blob. Its bytes must be read first, and later messages wait for that. */
  #reading: Promise<void> | undefined
  /** Runs while a sender waits for room. */
  #timer: Timer | undefined
  #buffered = 0
  #stalledMs = 0

  constructor(channel: RTCDataChannel, clock: Clock, early: Early = { bytes: 0 }) {
    this.#channel = channel
    this.#clock = clock
    this.#early = early
    this.#copies = hasNativeSend(channel)
    channel.binaryType = 'arraybuffer'
    channel.bufferedAmountLowThreshold = ROOM_BYTES
    channel.addEventListener('bufferedamountlow', () => this.#poll(0))
    channel.addEventListener('message', ({ data }: MessageEvent<unknown>) => this.#receive(data))
  }

  get isOpen(): boolean {
    return this.#channel.readyState === 'open'
  }

  /** How many bytes `send` accepted that have not left this machine. */
  get bufferedAmount(): number {
    return this.#channel.bufferedAmount
  }

  /** Whether so much is buffered that a sender must wait. */
  get isFull(): boolean {
    return this.#channel.bufferedAmount > FULL_BYTES
  }

  /** `onClose` may be called twice, or never, because stacks differ in how often they fire `close`. */
  watch({ onOpen, onClose, onStall, onFlood }: StreamEvents): void {
    this.#onStall = onStall
    this.#onFlood = onFlood
    this.#channel.addEventListener('open', onOpen)
    this.#channel.addEventListener('close', () => {
      this.stop()
      onClose()
    })
    // Some stacks open it before we can listen for the event.
    if (this.isOpen) onOpen()
  }

  /**
   * Calls `onData` for each message, also for those that arrived before this call, but not before this call has returned.
   * Calls `onRoom` after `awaitRoom`.
   */
  listen(onData: (data: StreamData) => void, onRoom: () => void): void {
    this.#onRoom = onRoom
    queueMicrotask(() => {
      this.#onData = onData
      // `onData` may call `hold`.
      while (this.#onData === onData) {
        const data = this.#kept.shift()
        if (data === undefined) return
        this.#early.bytes -= data.length + KEPT_MESSAGE_BYTES
        onData(data)
      }
    })
  }

  /** Keeps what arrives from now on for the next call of `listen`. */
  hold(): void {
    this.#onData = undefined
  }

  /** @throws if the stack throws: the stream is not open, or the message is too large */
  send(data: StreamData): void {
    const own = typeof data === 'string' || this.#copies ? data : data.slice()
    // The overloads of `send` take a string or bytes, but not the union of both.
    this.#channel.send(own as string)
  }

  /** Calls `onRoom` once, as soon as there is room. */
  awaitRoom(): void {
    if (this.#timer) return
    this.#buffered = this.bufferedAmount
    this.#stalledMs = 0
    this.#pollLater()
  }

  #pollLater(): void {
    this.#timer = this.#clock.after(POLL_MS, () => this.#poll(POLL_MS))
  }

  #poll(passedMs: number): void {
    if (!this.#timer) return
    this.stop()
    const buffered = this.bufferedAmount
    if (buffered <= ROOM_BYTES) return this.#onRoom()
    // We count polls rather than elapsed time, because while the machine slept its clock went on but the stream did not.
    this.#stalledMs = buffered === this.#buffered ? this.#stalledMs + passedMs : 0
    this.#buffered = buffered
    if (this.#stalledMs >= STALL_MS) this.#onStall()
    else this.#pollLater()
  }

  /** Stops waiting for room. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #receive(data: unknown): void {
    const isBlob = typeof Blob !== 'undefined' && data instanceof Blob
    if (!isBlob && !this.#reading) return this.#deliver(dataOf(data))
    this.#reading = Promise.resolve(this.#reading)
      .then(async () => this.#deliver(dataOf(isBlob ? await data.arrayBuffer() : data)))
      .catch(() => this.#channel.close())
  }

  #deliver(data: StreamData): void {
    // Messages that were kept come first.
    if (this.#onData && this.#kept.length === 0) return this.#onData(data)
    const bytes = data.length + KEPT_MESSAGE_BYTES
    if (this.#early.bytes + bytes > KEPT_BYTES_MAX) return this.#onFlood()
    this.#early.bytes += bytes
    this.#kept.push(data)
  }
}

/**
 * Whether `send` is not written in JavaScript. A native stack has memory of its own and copies the bytes (WebRTC, 6.2:
 * `send` takes the bytes that the buffer has at the call). A stack in JavaScript may keep the caller's memory until it has
 * sent it, as werift does.
 */
function hasNativeSend(channel: RTCDataChannel): boolean {
  const send: unknown = Reflect.get(channel, 'send')
  return (
    typeof send === 'function' && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(send))
  )
}

/** Stacks deliver a string, an ArrayBuffer (perhaps of another realm), or a Buffer, which may share its memory. */
function dataOf(data: unknown): StreamData {
  if (typeof data === 'string') return data
  if (!ArrayBuffer.isView(data)) return new Uint8Array(data as ArrayBuffer)
  return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
}

/** The application's stream and the stream of delivery frames. Their ids are agreed beforehand (RFC 8832 §6). */
export type Streams = { data: Stream; frames: Stream }

export function makeStreams(connection: RTCPeerConnection, terms: Terms, clock: Clock): Streams {
  const { label, ordered, maxRetransmits } = terms
  const lossy = maxRetransmits === undefined ? {} : { maxRetransmits }
  const early: Early = { bytes: 0 }
  const make = (name: string, id: number, options: RTCDataChannelInit = {}): Stream =>
    new Stream(connection.createDataChannel(name, { negotiated: true, id, ...options }), clock, early)
  return { frames: make('peerage', 0), data: make(label, 1, { ordered, ...lossy }) }
}

/** Calls `onOpen` once, when both streams are open. */
export function watchStreams({ data, frames }: Streams, events: StreamEvents): void {
  let isOpen = false
  const onOpen = (): void => {
    if (isOpen || !data.isOpen || !frames.isOpen) return
    isOpen = true
    events.onOpen()
  }
  for (const stream of [data, frames]) stream.watch({ ...events, onOpen })
}

/** What the frames of a channel tell it. */
export interface FrameEvents {
  /** The other side says goodbye. It sent this many messages on the channel. */
  onBye: (messages: number) => void
  /** The other side wants to verify the connection, and this side has no `verify`. */
  onVerify: () => void
}

/** The stream of delivery frames (SPEC.md, PP18). It also carries the goodbye of the channel. */
export class Frames {
  readonly #stream: Stream
  readonly #context: Pick<P2PContext, 'carriers' | 'onError'>
  readonly #detach: () => void
  #isClosed = false

  constructor(
    context: Pick<P2PContext, 'carriers' | 'onError'>,
    to: Holder,
    stream: Stream,
    { onBye, onVerify }: FrameEvents,
  ) {
    this.#context = context
    this.#stream = stream
    const { carriers } = context
    const carrier: Carrier = { send: (frame) => this.#send(frame) }
    const receive = (data: unknown): void => {
      const frame: unknown = JSON.parse(String(data))
      const fields: Record<string, unknown> = isObject(frame) ? frame : {}
      if (fields['type'] === 'bye') onBye(Number(fields['messages']))
      else if (fields['type'] === 'verify' || fields['type'] === 'verified') onVerify()
      else if (!this.#isClosed) carriers.receive(to, frame, carrier)
    }
    stream.listen(
      (data) => {
        try {
          receive(data)
        } catch (error) {
          context.onError(error)
        }
      },
      () => carriers.kick(to.name),
    )
    this.#detach = carriers.attach(to, carrier)
  }

  /** Sends the goodbye, even if the stream is full, because it is sent only once. */
  bye(messages: number): void {
    this.#put({ type: 'bye', messages })
  }

  /** Stops carrying delivery frames. A goodbye of the other side is still received. */
  close(): void {
    this.#isClosed = true
    this.#stream.stop()
    this.#detach()
  }

  #send(frame: object): boolean | 'full' {
    if (this.#isClosed) return false
    if (!this.#stream.isOpen || !this.#stream.isFull) return this.#put(frame)
    this.#stream.awaitRoom()
    return 'full'
  }

  #put(frame: object): boolean {
    if (!this.#stream.isOpen) return false
    try {
      this.#stream.send(JSON.stringify(frame))
      return true
    } catch (error) {
      // node-datachannel reports `open` for a moment after its stream has closed, and throws this error then.
      if (!/closed/i.test(String(error))) this.#context.onError(error)
      return false
    }
  }
}
