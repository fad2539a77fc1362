import type { Clock } from './clock.js'

const WINDOW_MS = 10

/**
 * Whether more than `most` things a millisecond came in the last 10 to 20 ms. Then it pays to put together what goes to
 * one place; below that, waiting for the end of a turn costs more than a write of its own.
 */
export class Rush {
  readonly #most: number
  readonly #clock: Clock
  #from = Number.NEGATIVE_INFINITY
  #count = 0
  #before = 0

  constructor(most: number, clock: Clock) {
    this.#most = most * WINDOW_MS
    this.#clock = clock
  }

  /** Counts one more thing, and says whether there is a rush. */
  add(): boolean {
    const now = this.#clock.monotonic()
    const ms = now - this.#from
    if (ms >= WINDOW_MS) {
      this.#before = ms < 2 * WINDOW_MS ? this.#count : 0
      this.#from = now
      this.#count = 0
    }
    this.#count++
    return this.#count > this.#most || this.#before > this.#most
  }
}
