import type { Clock, Envelope, Timer } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import type { Arrivals } from './arrivals.js'
import { encodeFrame, frameReader, type FrameReader } from './frames.js'

/** Why a link ended. */
export type DownReason =
  /** The other node has not confirmed what it was sent. */
  | 'unconfirmed'
  /** Too much waits for the other node to confirm it, or for its turn here. */
  | 'full'
  /** Its socket ended, or brought what is no frame. */
  | 'ended'
  /** Another connection took its place: to the same node, or to one that this node talks to more. */
  | 'replaced'
  /** This process goes on as another node. */
  | 'identity'
  /** This node stops. */
  | 'closed'

/** The connection below a link: a socket, or what a test has in its place. */
export interface LinkSocket {
  write(bytes: Uint8Array): unknown
  destroy(): unknown
  resume(): unknown
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'close', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** A connection whose both ends have proved who they are. */
export interface Proven {
  socket: LinkSocket
  /** Who is at the other end. */
  node: NodeId
  /** Whether this node dialled. */
  dialled: boolean
  /** What has come after the proof already. */
  rest: Buffer
}

export interface LinkOptions {
  proven: Proven
  arrivals: Arrivals
  clock: Clock
  limits: UnconfirmedLimits
  /** Of all links. */
  unconfirmed: Unconfirmed
  /** The link must end. Nothing is taken from it any more. */
  onDown: (reason: DownReason) => void
}

/** What all links of a node may have unconfirmed at once. */
export interface UnconfirmedLimits {
  envelopes: number
  /** Bytes, as a link carries them. */
  bytes: number
}

/** Half of what may wait for Redis at once, so that what a link leaves behind has room there [LINK4]. */
export const defaultUnconfirmedLimits: UnconfirmedLimits = { envelopes: 10_000, bytes: 8 * 1024 * 1024 }

/** How much is unconfirmed, of one link or of all. */
export class Unconfirmed {
  readonly #limits: UnconfirmedLimits
  #envelopes = 0
  #bytes = 0

  constructor(limits: UnconfirmedLimits) {
    this.#limits = limits
  }

  add(bytes: number): void {
    this.#envelopes++
    this.#bytes += bytes
  }

  remove(outgoing: Outgoing[]): void {
    this.#envelopes -= outgoing.length
    for (const { bytes } of outgoing) this.#bytes -= bytes
  }

  /** Of what may be unconfirmed at once. */
  get share(): number {
    return Math.max(this.#envelopes / this.#limits.envelopes, this.#bytes / this.#limits.bytes)
  }

  /** It is more than may wait. */
  get isOver(): boolean {
    return this.#envelopes > this.#limits.envelopes || this.#bytes > this.#limits.bytes
  }
}

/** One envelope on its way over a link. */
export interface Outgoing {
  number: number
  envelope: Envelope
  record: string
  /** Of the record. */
  bytes: number
}

/** What went out in one write, and how often the link had been looked at then. */
interface Written {
  outgoing: Outgoing[]
  looks: number
}

/**
 * How often a link is looked at while something is unconfirmed; more looks than these without a confirmation end it, after
 * 500 to 600 ms [LINK4]. We count looks rather than time: after a pause of this process the confirmations are already
 * waiting in the socket.
 */
const LOOK_MS = 100
const LOOKS_MOST = 5
/** How long a confirmation waits for a frame to go along with [LINK3]. */
const CONFIRM_MS = 20

/**
 * One connection to another node, both ways. It keeps what it has written until the other node confirms it, so that
 * nothing is lost when it ends [LINK3].
 */
export class Link {
  readonly node: NodeId
  readonly dialled: boolean
  readonly #options: LinkOptions
  readonly #reader: FrameReader
  readonly #madeAt: number
  readonly #unconfirmed: Unconfirmed
  /** Written and not confirmed, oldest first. */
  #kept: Written[] = []
  #looks = 0
  #lookTimer: Timer | undefined
  /** The last confirmation that the other side was told. */
  #confirmed: number
  #confirmTimer: Timer | undefined
  #ended = false

  constructor(options: LinkOptions) {
    this.#options = options
    const { proven, arrivals, clock } = options
    this.node = proven.node
    this.dialled = proven.dialled
    this.#madeAt = clock.monotonic()
    this.#unconfirmed = new Unconfirmed(options.limits)
    this.#confirmed = arrivals.last
    this.#reader = frameReader((confirmed, first, records) => this.#take(confirmed, first, records))
    proven.socket.on('close', () => this.#down('ended'))
    // A close follows.
    proven.socket.on('error', () => undefined)
    proven.socket.on('data', (chunk) => this.#read(chunk))
  }

  /** Reads what came with the proof, and then what comes. Apart from the constructor, for it may end the link. */
  start(): void {
    const { rest, socket } = this.#options.proven
    if (rest.length > 0) this.#read(rest)
    socket.resume()
  }

  /** Counts an envelope that is to be sent, and confirmed. */
  owes(bytes: number): void {
    this.#unconfirmed.add(bytes)
    this.#options.unconfirmed.add(bytes)
  }

  #isPaid(outgoing: Outgoing[]): void {
    this.#unconfirmed.remove(outgoing)
    this.#options.unconfirmed.remove(outgoing)
  }

  /** Of what all links may have unconfirmed at once. */
  get share(): number {
    return this.#unconfirmed.share
  }

  /** Milliseconds since it was made. */
  get age(): number {
    return this.#options.clock.monotonic() - this.#madeAt
  }

  /** Sends envelopes, the next in number, and keeps them until the other node confirms them. */
  send(outgoing: Outgoing[]): void {
    const [first] = outgoing
    if (first === undefined) return
    let records = ''
    for (const { record } of outgoing) records += record
    this.#kept.push({ outgoing, looks: this.#looks })
    this.#write(first.number, records)
    this.#lookLater()
  }

  /** Ends it. Returns what the other side has not confirmed, in order. */
  end(): Outgoing[] {
    this.#ended = true
    // Where the other end still reads, it need not send again what has been taken.
    if (this.#options.arrivals.last > this.#confirmed) this.#write(0, '')
    this.#lookTimer?.cancel()
    this.#confirmTimer?.cancel()
    this.#options.proven.socket.destroy()
    const left = this.#kept.flatMap(({ outgoing }) => outgoing)
    this.#kept = []
    this.#isPaid(left)
    return left
  }

  #down(reason: DownReason): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.onDown(reason)
  }

  #write(first: number, records: string): void {
    const { proven, arrivals } = this.#options
    this.#confirmed = arrivals.last
    proven.socket.write(encodeFrame(this.#confirmed, first, records))
  }

  #lookLater(): void {
    this.#lookTimer ??= this.#options.clock.after(LOOK_MS, () => {
      this.#lookTimer = undefined
      this.#looks++
      const [oldest] = this.#kept
      if (oldest === undefined) return
      if (this.#looks - oldest.looks > LOOKS_MOST) this.#down('unconfirmed')
      else this.#lookLater()
    })
  }

  #read(chunk: Buffer): void {
    if (!this.#ended && !this.#reader.read(chunk)) this.#down('ended')
  }

  #take(confirmed: number, first: number, records: string): void {
    if (this.#ended) return
    this.#settle(confirmed)
    if (records === '') return
    if (!this.#options.arrivals.fromLink(first, records)) this.#down('full')
    this.#confirmLater()
  }

  #settle(confirmed: number): void {
    let count = 0
    for (const { outgoing } of this.#kept) {
      const last = outgoing.at(-1)
      if (last === undefined || last.number > confirmed) break
      count++
      this.#isPaid(outgoing)
    }
    if (count > 0) this.#kept.splice(0, count)
  }

  /** Confirms what has been taken by now, unless a frame does that first. */
  #confirmLater(): void {
    if (this.#confirmTimer !== undefined) return
    const { arrivals, clock } = this.#options
    const due = arrivals.last
    this.#confirmTimer = clock.after(CONFIRM_MS, () => {
      this.#confirmTimer = undefined
      if (this.#ended) return
      if (this.#confirmed < due) this.#write(0, '')
      // What came since has its own time; what waits may have its turn at any moment.
      if (this.#confirmed < arrivals.last || arrivals.holds) this.#confirmLater()
    })
  }
}
