import type { Clock } from '../lib/clock.js'

/**
 * Whether this node may act for the cluster [I12]. Its lease ends by the monotonic clock, counted from before the
 * request that renewed it. Every entry point asks: after a pause of the process a timer would come too late.
 */
export class Fence {
  readonly #clock: Clock
  #until = Number.NEGATIVE_INFINITY
  #began = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The lease was renewed by a request that started at `startedAt` (monotonic ms). */
  extend(startedAt: number, leaseMs: number): void {
    this.#began = true
    this.#until = Math.max(this.#until, startedAt + leaseMs)
  }

  /** The registry said that the lease has lapsed. */
  fall(): void {
    this.#until = Number.NEGATIVE_INFINITY
  }

  /** It has had a lease: before that it is no wonder that it has none. */
  get began(): boolean {
    return this.#began
  }

  get fenced(): boolean {
    return this.#clock.monotonic() >= this.#until
  }
}
