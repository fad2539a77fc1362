import type { Clock } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import type { Arrivals } from './arrivals.js'
import type { Link } from './link.js'

/** A node dials another one after this many envelopes to its inbox within this time. */
const BUSY_ENVELOPES = 20
const BUSY_MS = 2_000
/** The longest wait before the next dial: after a first failure, and after many failures. */
const BACK_OFF_LEAST_MS = 1_000
const BACK_OFF_MOST_MS = 60_000
/** After a link that lasted this long, the next failure counts as a first one again. */
const STEADY_MS = 10_000
/** Traffic is counted over the last one to two periods of this length. */
const PERIOD_MS = 10_000

/** What this node remembers of one other node: the envelopes in both directions, and the link between the two. */
export class RemoteNode {
  readonly node: NodeId
  readonly arrivals: Arrivals
  readonly #clock: Clock
  /** The number of the last envelope that was sent to the other node. */
  number: number
  /** The link, if there is one. */
  link: Link | undefined
  /** Whether the link has carried an envelope. Then it carries all of them until it ends. */
  #isCarrying = false
  /** Whether the last finished publish to the inbox reached a subscriber. */
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
   * The link that carries the next envelope, if any. A link begins to carry envelopes only when the last finished publish
   * to the inbox reached a subscriber. Otherwise the receiver could wait in vain for earlier envelopes that the inbox
   * lost. From then on the link carries all envelopes, so that none over the inbox overtakes them [LINK2].
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

  /** Counts an envelope over the inbox. True if there were enough recently and this node may dial now. */
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

  /** A dial failed, or a link ended after `lastedMs`. The next dial waits for a random time. */
  backOff(lastedMs = 0): void {
    if (lastedMs >= STEADY_MS) this.#failures = 0
    const most = Math.min(BACK_OFF_LEAST_MS * 2 ** this.#failures, BACK_OFF_MOST_MS)
    this.#failures++
    this.#nextDialAt = this.#clock.monotonic() + most * (0.5 + Math.random() / 2)
  }

  /** Counts an envelope to or from the other node, on either path. */
  count(): void {
    this.#rollPeriod()
    this.#thisPeriod++
  }

  /** How many envelopes were sent and received recently. */
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
