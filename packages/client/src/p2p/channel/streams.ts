import { isObject } from '@peerage/protocol'
import type { Carrier, Holder } from '../../delivery/signaling.js'
import type { Clock, Timer } from '../../lib/clock.js'
import type { P2PContext, Terms } from '../options.js'

// The two streams of a connection, and the path that they take. WebRTC stacks differ in both; this file hides that.

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

export interface StreamEvents {
  onOpen: () => void
  onClose: () => void
  /** A sender waits, and nothing has left the buffer for STALL_MS. */
  onStall: () => void
}

/** One RTCDataChannel that behaves the same with every WebRTC stack. */
export class Stream {
  readonly #channel: RTCDataChannel
  readonly #clock: Clock
  #onRoom: () => void = () => undefined
  #onStall: () => void = () => undefined
  /** Messages that arrived before `listen` was called. */
  #early: StreamData[] = []
  #onData: (data: StreamData) => void = (data) => this.#early.push(data)
  /** Set by the first Blob. Its bytes must be read first, and later messages wait for that. */
  #reading: Promise<void> | undefined
  /** Runs while a sender waits for room. */
  #timer: Timer | undefined
  #buffered = 0
  #stalledMs = 0

  constructor(channel: RTCDataChannel, clock: Clock) {
    this.#channel = channel
    this.#clock = clock
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
  watch({ onOpen, onClose, onStall }: StreamEvents): void {
    this.#onStall = onStall
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
      for (const data of this.#early.splice(0)) onData(data)
    })
  }

  /** @throws if the stack throws: the stream is not open, or the message is too large */
  send(data: StreamData): void {
    // The overloads of `send` take a string or bytes, but not the union of both.
    this.#channel.send(data as string)
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
    if (!isBlob && !this.#reading) return this.#onData(dataOf(data))
    this.#reading = Promise.resolve(this.#reading)
      .then(async () => this.#onData(dataOf(isBlob ? await data.arrayBuffer() : data)))
      .catch(() => this.#channel.close())
  }
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
  const make = (name: string, id: number, options: RTCDataChannelInit = {}): Stream =>
    new Stream(connection.createDataChannel(name, { negotiated: true, id, ...options }), clock)
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

/** The stream of delivery frames (SPEC.md, PP18). It also carries the goodbye of the channel. */
export class Frames {
  readonly #stream: Stream
  readonly #context: Pick<P2PContext, 'carriers' | 'onError'>
  readonly #detach: () => void
  #isClosed = false

  /** Calls `onBye` when the other side says goodbye, with the number of messages that it sent on the channel. */
  constructor(
    context: Pick<P2PContext, 'carriers' | 'onError'>,
    to: Holder,
    stream: Stream,
    onBye: (messages: number) => void,
  ) {
    this.#context = context
    this.#stream = stream
    const { carriers } = context
    const carrier: Carrier = { send: (frame) => this.#send(frame) }
    const receive = (data: unknown): void => {
      const frame: unknown = JSON.parse(String(data))
      if (isObject(frame) && frame['type'] === 'bye') onBye(Number(frame['messages']))
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

/** One end of the path that ICE selected (webrtc-stats, RTCIceCandidateStats). */
export interface Endpoint {
  /** The candidate type: `host`, `srflx` (reflexive), `prflx` (peer-reflexive) or `relay`. */
  type: string
  /** The IP address or mDNS name. Undefined if the browser hides it. */
  address: string | undefined
  /** The port. Undefined if the stack does not tell it. */
  port: number | undefined
  /** `udp` or `tcp`. Undefined if the stack does not tell it. */
  protocol: string | undefined
}

/** The network path of a channel, as the statistics of its WebRTC stack describe it. */
export interface ChannelPath {
  /** `direct`, or `relayed` through a TURN server. */
  path: 'direct' | 'relayed'
  /** This peer's end of the path. Undefined if the stack does not tell it. */
  local: Endpoint | undefined
  /** The other peer's end of the path. Undefined if the stack does not tell it. */
  remote: Endpoint | undefined
  /** True if both ends use an address of their own network interface, so that no NAT lies between them. */
  sameLan: boolean
  /** The round-trip time in milliseconds. Undefined if the stack has not measured it. */
  rttMs: number | undefined
}

const PRIVATE_PATTERN =
  /^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd]|fe80:|::1$)|\.local$/i

/** Reads the path from a statistics report. `hosts`: the addresses in the other side's host candidates. */
export function readPath(report: RTCStatsReport, hosts: ReadonlySet<string>): ChannelPath {
  const entries = new Map<string, Record<string, unknown>>()
  report.forEach((entry: { id: string }) => entries.set(entry.id, { ...entry }))
  const pair = selectedPair(entries)
  const local = endpoint(entries.get(String(pair?.['localCandidateId'])))
  const remote = endpoint(entries.get(String(pair?.['remoteCandidateId'])))
  const rtt = pair?.['currentRoundTripTime']
  // A remote end is peer-reflexive if its check arrived before its candidate. Its address still says where it is.
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
  // Firefox has no entry of type `transport`. It marks the selected pair instead.
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

/** Whether the address belongs to the machine itself, and not to a NAT or a TURN server. */
const isOwn = (end: Endpoint | undefined): boolean => end?.type === 'host' || end?.type === 'prflx'
