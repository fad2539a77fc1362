import type { Clock } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import type { Arrivals } from './arrivals.js'
import type { Link } from './link.js'

/** So many envelopes to a node over the inbox within this time are worth a link. */
const BUSY_ENVELOPES = 20
const BUSY_MS = 2_000
/** How long a node waits with its next dial after a first failure, and at most. */
const BACK_OFF_LEAST_MS = 1_000
const BACK_OFF_MOST_MS = 60_000
/** A link that stood for so long did no harm: the next failure is a first one again. */
const STEADY_MS = 10_000
/** Traffic is compared over the last one to two periods of this length. */
const PERIOD_MS = 10_000

/** What this node knows of one other node: what it sent there, what came from there, and the link between the two. */
export class Lane {
  readonly node: NodeId
  readonly arrivals: Arrivals
  readonly #clock: Clock
  /** The number of the last envelope that was sent. */
  number: number
  /** The link, where one stands. */
  link: Link | undefined
  /** The link has carried something: all goes over it now, until it ends. */
  #isCarrying = false
  /** Whether the last publish to the inbox that is over was heard there. */
  inboxHeard = false
  dialling = false
  #busyFrom = Number.NEGATIVE_INFINITY
  #busy = 0
  #nextDialAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #periodFrom: number
  #thisPeriod = 0
  #lastPeriod = 0

  constructor(node: NodeId, arrivals: Arrivals, clock: Clock, number: number) {
    this.node = node
    this.arrivals = arrivals
    this.#clock = clock
    this.number = number
    this.#periodFrom = clock.monotonic()
  }

  /**
   * The link that carries the next envelope. It begins when the last publish to the inbox that is over was heard there:
   * else the receiver could wait in vain for what came before. From then on it carries all, or what went over the inbox
   * would overtake what is on the link [LINK2].
   */
  carrier(): Link | undefined {
    this.#isCarrying ||= this.link !== undefined && this.inboxHeard
    return this.#isCarrying ? this.link : undefined
  }

  /** The link has ended. */
  ended(): void {
    this.link = undefined
    this.#isCarrying = false
  }

  /** Counts an envelope that goes over the inbox. True: there were enough of late, and the node may be dialled now. */
  countInbox(): boolean {
    const now = this.#clock.monotonic()
    if (now - this.#busyFrom > BUSY_MS) {
      this.#busyFrom = now
      this.#busy = 0
    }
    this.#busy++
    return (
      this.#busy >= BUSY_ENVELOPES && !this.dialling && this.link === undefined && now >= this.#nextDialAt
    )
  }

  /** A dial failed, or a link ended after so many milliseconds: the next dial waits, for a random while. */
  backOff(stoodMs = 0): void {
    if (stoodMs >= STEADY_MS) this.#failures = 0
    const most = Math.min(BACK_OFF_LEAST_MS * 2 ** this.#failures, BACK_OFF_MOST_MS)
    this.#failures++
    this.#nextDialAt = this.#clock.monotonic() + most * (0.5 + Math.random() / 2)
  }

  /** Counts an envelope to or from that node, on whichever path. */
  count(): void {
    this.#rollPeriod()
    this.#thisPeriod++
  }

  /** Envelopes of late, both ways. */
  get traffic(): number {
    this.#rollPeriod()
    return this.#thisPeriod + this.#lastPeriod
  }

  #rollPeriod(): void {
    const passed = this.#clock.monotonic() - this.#periodFrom
    if (passed < PERIOD_MS) return
    this.#lastPeriod = passed < 2 * PERIOD_MS ? this.#thisPeriod : 0
    this.#thisPeriod = 0
    this.#periodFrom = this.#clock.monotonic()
  }
}
