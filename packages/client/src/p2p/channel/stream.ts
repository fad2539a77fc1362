import type { Clock, Timer } from '../../lib/clock.js'

/** What a stream carries: text, or bytes that are the receiver's own. */
export type StreamData = string | Uint8Array<ArrayBuffer>

/** Above this, more must wait: enough to keep a fast path busy, small beside what a browser buffers (16 MiB). */
const FULL_BYTES = 1024 * 1024
/** At this there is room again. */
const ROOM_BYTES = 256 * 1024
/** `@roamhq/wrtc` never fires `bufferedamountlow`. So often a stream is looked at while something waits for it. */
const LOOK_MS = 20
/** When nothing has left the buffer for so long, nothing will: a message of 256 KiB leaves a 56 kbit/s modem in 40 s. */
const STALL_MS = 60_000

/** One data channel, with the differences between WebRTC stacks evened out. */
export class Stream {
  readonly #channel: RTCDataChannel
  readonly #clock: Clock
  #onRoom: () => void = () => undefined
  #onStall: () => void = () => undefined
  #hear: ((data: StreamData) => void) | undefined
  /** What came before anyone listened. */
  #early: StreamData[] = []
  /** Set by the first Blob: its bytes come later, and what follows it waits. */
  #reading: Promise<void> | undefined
  /** Runs while something waits for room. */
  #timer: Timer | undefined
  #buffered = 0
  #stalledMs = 0

  constructor(channel: RTCDataChannel, clock: Clock) {
    this.#channel = channel
    this.#clock = clock
    channel.binaryType = 'arraybuffer'
    channel.bufferedAmountLowThreshold = ROOM_BYTES
    channel.addEventListener('bufferedamountlow', () => this.#look(0))
    channel.addEventListener('message', ({ data }: MessageEvent<unknown>) => this.#receive(data))
  }

  get isOpen(): boolean {
    return this.#channel.readyState === 'open'
  }

  /** Bytes that `send` took and that have not left. */
  get bufferedAmount(): number {
    return this.#channel.bufferedAmount
  }

  /** Whether it holds so much already that more must wait. */
  get isFull(): boolean {
    return this.#channel.bufferedAmount > FULL_BYTES
  }

  /** `onStall`: nothing leaves any more, though something waits. A stack may tell of an end twice, or not at all. */
  watch(events: { onOpen(): void; onClose(): void; onStall(): void }): void {
    this.#onStall = () => events.onStall()
    this.#channel.addEventListener('open', () => events.onOpen())
    this.#channel.addEventListener('close', () => {
      this.stop()
      events.onClose()
    })
    // Where a stack has opened it before anyone could listen for that.
    if (this.isOpen) events.onOpen()
  }

  /** `hear` gets what came before this call as well, soon after it; `onRoom` follows `awaitRoom`. */
  listen(hear: (data: StreamData) => void, onRoom: () => void): void {
    this.#onRoom = onRoom
    queueMicrotask(() => {
      this.#hear = hear
      for (const data of this.#early.splice(0)) hear(data)
    })
  }

  /** @throws where the stack does: it is not open, or the message is too large */
  send(data: StreamData): void {
    // The union of overloads does not take a union of arguments.
    if (typeof data === 'string') this.#channel.send(data)
    else this.#channel.send(data)
  }

  /** Has `onRoom` called once there is room. */
  awaitRoom(): void {
    if (this.#timer) return
    this.#buffered = this.bufferedAmount
    this.#stalledMs = 0
    this.#lookLater()
  }

  #lookLater(): void {
    this.#timer = this.#clock.after(LOOK_MS, () => this.#look(LOOK_MS))
  }

  #look(passedMs: number): void {
    if (!this.#timer) return
    this.stop()
    const buffered = this.bufferedAmount
    if (buffered <= ROOM_BYTES) return this.#onRoom()
    // Counted in looks: the clock of a machine that slept has gone on, the stream has not.
    this.#stalledMs = buffered === this.#buffered ? this.#stalledMs + passedMs : 0
    this.#buffered = buffered
    if (this.#stalledMs >= STALL_MS) this.#onStall()
    else this.#lookLater()
  }

  /** Nobody waits for room any more. */
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
    if (this.#hear) this.#hear(data)
    else this.#early.push(data)
  }
}

/** Stacks hand over a string, an ArrayBuffer, perhaps of another realm, or a Buffer that may share its memory. */
function dataOf(data: unknown): StreamData {
  if (typeof data === 'string') return data
  if (!ArrayBuffer.isView(data)) return new Uint8Array(data as ArrayBuffer)
  return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
}
