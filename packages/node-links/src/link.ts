import type { Clock, Envelope, Timer } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import type { Arrivals } from './arrivals.js'
import { encodeFrame, frameReader, type FrameReader } from './frames.js'

/** Why a link ended. */
export type DownReason =
  /** The other node has not confirmed its oldest envelope in time. */
  | 'unconfirmed'
  /** Too much is not confirmed by the other node, or waits here for its turn. */
  | 'full'
  /** Its socket ended, or a malformed frame arrived. */
  | 'ended'
  /** Another connection replaced it: to the same node, or to a node with more traffic. */
  | 'replaced'
  /** This process continues under a new NodeId. */
  | 'identity'
  /** This node stops. */
  | 'closed'

/** The connection below a link: a socket, or a fake one in a test. */
export interface LinkSocket {
  write(bytes: Uint8Array): unknown
  destroy(): unknown
  resume(): unknown
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'close', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** A connection whose two ends have proved who they are. */
export interface Proven {
  socket: LinkSocket
  /** The node at the other end. */
  node: NodeId
  /** Whether this node dialled. */
  dialled: boolean
  /** Bytes that arrived after the proof. */
  rest: Buffer
}

export interface LinkOptions {
  proven: Proven
  arrivals: Arrivals
  clock: Clock
  limits: UnconfirmedLimits
  /** The count of all links of this node. */
  unconfirmed: Unconfirmed
  /** Called when the link must end. Nothing is taken from it after that. */
  onDown: (reason: DownReason) => void
}

/** The most unconfirmed envelopes and bytes of all links of a node together. */
export interface UnconfirmedLimits {
  envelopes: number
  /** Bytes of records in UTF-8. */
  bytes: number
}

/** Half of what may wait for Redis, so that the inbox has room for what a link leaves unconfirmed [LINK4]. */
export const defaultUnconfirmedLimits: UnconfirmedLimits = { envelopes: 10_000, bytes: 8 * 1024 * 1024 }

/** Counts the unconfirmed envelopes and bytes of one link, or of all links. */
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

  /** The used part of the limit, 1 for all of it. */
  get share(): number {
    return Math.max(this.#envelopes / this.#limits.envelopes, this.#bytes / this.#limits.bytes)
  }

  /** Whether it is over the limit. */
  get isOver(): boolean {
    return this.#envelopes > this.#limits.envelopes || this.#bytes > this.#limits.bytes
  }
}

/** One envelope to be sent over a link. */
export interface Outgoing {
  number: number
  envelope: Envelope
  record: string
  /** The record's length. */
  bytes: number
}

/** The envelopes of one write, and the count of checks at that time. */
interface Written {
  outgoing: Outgoing[]
  checks: number
}

/**
 * How often a link is checked while something is unconfirmed. More checks than these without a confirmation end it, after
 * 500 to 600 ms [LINK4]. We count checks rather than elapsed time, because after a pause of this process the confirmations
 * are already waiting in the socket.
 */
const CHECK_MS = 100
const CHECKS_MOST = 5
/** How long a confirmation waits for a frame that can carry it [LINK3]. */
const CONFIRM_MS = 20

/**
 * One connection to another node. Both nodes send over it. It keeps what it has written until the other node confirms it,
 * so that nothing is lost when it ends [LINK3].
 */
export class Link {
  readonly node: NodeId
  readonly dialled: boolean
  readonly #options: LinkOptions
  readonly #reader: FrameReader
  readonly #madeAt: number
  readonly #unconfirmed: Unconfirmed
  /** Envelopes that were written and not confirmed, oldest first. */
  #kept: Written[] = []
  #checks = 0
  #checkTimer: Timer | undefined
  /** The last confirmation that was sent to the other side. */
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
    // The socket emits `close` after an error.
    proven.socket.on('error', () => undefined)
    proven.socket.on('data', (chunk) => this.#read(chunk))
  }

  /** Reads what arrived with the proof, and then the socket. Not part of the constructor, because it may end the link. */
  start(): void {
    const { rest, socket } = this.#options.proven
    if (rest.length > 0) this.#read(rest)
    socket.resume()
  }

  /** Counts an envelope as unconfirmed, before it is sent. */
  countUnconfirmed(bytes: number): void {
    this.#unconfirmed.add(bytes)
    this.#options.unconfirmed.add(bytes)
  }

  #countConfirmed(outgoing: Outgoing[]): void {
    this.#unconfirmed.remove(outgoing)
    this.#options.unconfirmed.remove(outgoing)
  }

  /** The part of the limit for all links that the unconfirmed envelopes of this link use. */
  get share(): number {
    return this.#unconfirmed.share
  }

  /** Milliseconds since it was made. */
  get age(): number {
    return this.#options.clock.monotonic() - this.#madeAt
  }

  /** Sends envelopes with the next numbers, and keeps them until the other node confirms them. */
  send(outgoing: Outgoing[]): void {
    const [first] = outgoing
    if (first === undefined) return
    let records = ''
    for (const { record } of outgoing) records += record
    this.#kept.push({ outgoing, checks: this.#checks })
    this.#write(first.number, records)
    this.#checkLater()
  }

  /** Ends the link. Returns what the other side has not confirmed, in order. */
  end(): Outgoing[] {
    this.#ended = true
    // Confirm once more. If the other end still reads, it does not send again what this node has taken.
    if (this.#options.arrivals.last > this.#confirmed) this.#write(0, '')
    this.#checkTimer?.cancel()
    this.#confirmTimer?.cancel()
    this.#options.proven.socket.destroy()
    const left = this.#kept.flatMap(({ outgoing }) => outgoing)
    this.#kept = []
    this.#countConfirmed(left)
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

  #checkLater(): void {
    this.#checkTimer ??= this.#options.clock.after(CHECK_MS, () => {
      this.#checkTimer = undefined
      this.#checks++
      const [oldest] = this.#kept
      if (oldest === undefined) return
      if (this.#checks - oldest.checks > CHECKS_MOST) this.#down('unconfirmed')
      else this.#checkLater()
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
      this.#countConfirmed(outgoing)
    }
    if (count > 0) this.#kept.splice(0, count)
  }

  /** Confirms what has been taken so far, unless a frame does so first. */
  #confirmLater(): void {
    if (this.#confirmTimer !== undefined) return
    const { arrivals, clock } = this.#options
    const due = arrivals.last
    this.#confirmTimer = clock.after(CONFIRM_MS, () => {
      this.#confirmTimer = undefined
      if (this.#ended) return
      if (this.#confirmed < due) this.#write(0, '')
      // Envelopes that arrived meanwhile get a new delay. Envelopes that wait behind a gap may be taken at any moment.
      if (this.#confirmed < arrivals.last || arrivals.holds) this.#confirmLater()
    })
  }
}
