import type { Clock } from '../../lib/clock.js'

/** How much the other side may make this side read: `burst` at once, then `perSecond` a second. */
export class Budget {
  readonly #clock: Clock
  readonly #rate: { burst: number; perSecond: number }
  #left: number
  #at: number

  constructor(clock: Clock, rate: { burst: number; perSecond: number }) {
    this.#clock = clock
    this.#rate = rate
    this.#left = rate.burst
    this.#at = clock.now()
  }

  /** False: this is over the budget. */
  take(cost: number): boolean {
    const now = this.#clock.now()
    // The system clock may be set back.
    const seconds = Math.max(0, now - this.#at) / 1_000
    this.#at = now
    this.#left = Math.min(this.#rate.burst, this.#left + seconds * this.#rate.perSecond)
    if (cost > this.#left) return false
    this.#left -= cost
    return true
  }
}
