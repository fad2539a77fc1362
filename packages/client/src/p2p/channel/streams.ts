import { isObject } from '@peerage/protocol'
import type { Carrier, Stay } from '../../delivery/signaling.js'
import type { Clock, Timer } from '../../lib/clock.js'
import type { P2PContext, Terms } from '../options.js'

// What goes over a connection: its two streams, and the path that they take. WebRTC stacks differ in both, and nobody
// else needs to know.

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

export interface StreamEvents {
  onOpen: () => void
  onClose: () => void
  /** It takes nothing any more, though something waits. */
  onStall: () => void
}

/** One data channel, with the differences between WebRTC stacks evened out. */
export class Stream {
  readonly #channel: RTCDataChannel
  readonly #clock: Clock
  #onRoom: () => void = () => undefined
  #onStall: () => void = () => undefined
  /** What came before anyone listened. */
  #early: StreamData[] = []
  #hear: (data: StreamData) => void = (data) => this.#early.push(data)
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

  /** A stack may tell of an end twice, or not at all. */
  watch({ onOpen, onClose, onStall }: StreamEvents): void {
    this.#onStall = onStall
    this.#channel.addEventListener('open', onOpen)
    this.#channel.addEventListener('close', () => {
      this.stop()
      onClose()
    })
    // Where a stack has opened it before anyone could listen for that.
    if (this.isOpen) onOpen()
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
    // No overload takes the union.
    this.#channel.send(data as string)
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
    if (!isBlob && !this.#reading) return this.#hear(dataOf(data))
    this.#reading = Promise.resolve(this.#reading)
      .then(async () => this.#hear(dataOf(isBlob ? await data.arrayBuffer() : data)))
      .catch(() => this.#channel.close())
  }
}

/** Stacks hand over a string, an ArrayBuffer, perhaps of another realm, or a Buffer that may share its memory. */
function dataOf(data: unknown): StreamData {
  if (typeof data === 'string') return data
  if (!ArrayBuffer.isView(data)) return new Uint8Array(data as ArrayBuffer)
  return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
}

/** Application data and delivery frames each have their own stream (RFC 8832 §6: ids agreed beforehand). */
export type Streams = { data: Stream; frames: Stream }

export function makeStreams(connection: RTCPeerConnection, terms: Terms, clock: Clock): Streams {
  const { label, ordered, maxRetransmits } = terms
  const lossy = maxRetransmits === undefined ? {} : { maxRetransmits }
  const make = (name: string, id: number, options: RTCDataChannelInit = {}): Stream =>
    new Stream(connection.createDataChannel(name, { negotiated: true, id, ...options }), clock)
  return { frames: make('peerage', 0), data: make(label, 1, { ordered, ...lossy }) }
}

/** Both are open: once. What comes over one before that is heard after `onOpen`. */
export function watchStreams({ data, frames }: Streams, events: StreamEvents): void {
  let isOpen = false
  const onOpen = (): void => {
    if (isOpen || !data.isOpen || !frames.isOpen) return
    isOpen = true
    events.onOpen()
  }
  for (const stream of [data, frames]) stream.watch({ ...events, onOpen })
}

/** The second stream of every connection: delivery's frames, and the last word about the first stream. */
export class Frames {
  readonly #stream: Stream
  readonly #context: Pick<P2PContext, 'carriers' | 'onError'>
  readonly #detach: () => void
  #isClosed = false

  /** `onBye` is called when the other side closes, with the number of messages it sent. */
  constructor(
    context: Pick<P2PContext, 'carriers' | 'onError'>,
    to: Stay,
    stream: Stream,
    onBye: (messages: number) => void,
  ) {
    this.#context = context
    this.#stream = stream
    const { carriers } = context
    const carrier: Carrier = { send: (frame) => this.#send(frame) }
    const hear = (data: unknown): void => {
      const frame: unknown = JSON.parse(String(data))
      if (isObject(frame) && frame['type'] === 'bye') onBye(Number(frame['messages']))
      else if (!this.#isClosed) carriers.receive(to, frame, carrier)
    }
    stream.listen(
      (data) => {
        try {
          hear(data)
        } catch (error) {
          context.onError(error)
        }
      },
      () => carriers.kick(to.name),
    )
    this.#detach = carriers.attach(to, carrier)
  }

  /** Goes out however much waits before it: it is said once. */
  bye(messages: number): void {
    this.#put({ type: 'bye', messages })
  }

  /** No longer a way for delivery; a goodbye is still heard. */
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
      // node-datachannel still says `open` for a moment when its stream has closed, and throws this.
      if (!/closed/i.test(String(error))) this.#context.onError(error)
      return false
    }
  }
}

/** One end of the path that ICE selected (webrtc-stats, RTCIceCandidateStats). */
export interface Endpoint {
  type: string
  /** Undefined where the browser hides it. */
  address: string | undefined
  port: number | undefined
  protocol: string | undefined
}

/** How the bytes travel. */
export interface ChannelPath {
  /** relayed: through a TURN server. */
  path: 'direct' | 'relayed'
  local: Endpoint | undefined
  remote: Endpoint | undefined
  /** Both ends speak from their own interface, so no NAT lies between them. */
  sameLan: boolean
  rttMs: number | undefined
}

const PRIVATE_PATTERN =
  /^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd]|fe80:|::1$)|\.local$/i

/** `hosts`: the addresses that the other side announced as its own. */
export function readPath(report: RTCStatsReport, hosts: ReadonlySet<string>): ChannelPath {
  const entries = new Map<string, Record<string, unknown>>()
  report.forEach((entry: { id: string }) => entries.set(entry.id, { ...entry }))
  const pair = selectedPair(entries)
  const local = endpoint(entries.get(String(pair?.['localCandidateId'])))
  const remote = endpoint(entries.get(String(pair?.['remoteCandidateId'])))
  const rtt = pair?.['currentRoundTripTime']
  // A peer-reflexive end is one whose checks came before its candidates; its address still tells where it is.
  const address = remote?.address ?? ''
  const isNear = remote?.type === 'host' || PRIVATE_PATTERN.test(address) || hosts.has(address)
  return {
    path: local?.type === 'relay' || remote?.type === 'relay' ? 'relayed' : 'direct',
    local,
    remote,
    sameLan: isNear && isOwn(local) && isOwn(remote),
    rttMs: typeof rtt === 'number' ? rtt * 1000 : undefined,
  }
}

function selectedPair(entries: Map<string, Record<string, unknown>>): Record<string, unknown> | undefined {
  for (const entry of entries.values()) {
    if (entry['type'] === 'transport' && typeof entry['selectedCandidatePairId'] === 'string')
      return entries.get(entry['selectedCandidatePairId'])
  }
  // Firefox has no transport entry and marks the pair instead.
  for (const entry of entries.values())
    if (entry['type'] === 'candidate-pair' && entry['selected'] === true) return entry
  return undefined
}

function endpoint(entry: Record<string, unknown> | undefined): Endpoint | undefined {
  if (entry === undefined) return undefined
  const text = (value: unknown): string | undefined =>
    typeof value === 'string' && value !== '' ? value : undefined
  return {
    type: String(entry['candidateType']),
    address: text(entry['address']) ?? text(entry['ip']),
    port: typeof entry['port'] === 'number' ? entry['port'] : undefined,
    protocol: text(entry['protocol']),
  }
}

/** Not seen through a NAT by a server, nor lent by one. */
const isOwn = (end: Endpoint | undefined): boolean => end?.type === 'host' || end?.type === 'prflx'
