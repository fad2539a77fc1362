import type { Clock, Timer } from './clock.js'

const FIRST_MS = 1_000
const MOST_MS = 15_000

/** Does again what has failed, later each time: after 1 s at most, 2, 4, 8, and then 15 s, or half of that. */
export class Retry {
  readonly #clock: Clock
  readonly #again: () => void
  #waitMs = FIRST_MS
  #timer: Timer | undefined

  constructor(clock: Clock, again: () => void) {
    this.#clock = clock
    this.#again = again
  }

  /** It has failed once more. */
  failed(): void {
    if (this.#timer !== undefined) return
    // What ended for all peers at once is not asked for by all at once.
    this.#timer = this.#clock.after(this.#waitMs * (0.5 + Math.random() / 2), () => {
      this.#timer = undefined
      this.#again()
    })
    this.#waitMs = Math.min(MOST_MS, 2 * this.#waitMs)
  }

  /** Nothing is to be done again, and the next failure is a first one. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#waitMs = FIRST_MS
  }
}
