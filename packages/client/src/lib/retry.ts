import type { Clock, Timer } from './clock.js'

const FIRST_MS = 1_000
const MOST_MS = 15_000

/** Repeats a task that failed, after growing waits: up to 1, 2, 4, 8, then 15 s, and at least half of that. */
export class Retry {
  readonly #clock: Clock
  readonly #again: () => void
  #waitMs = FIRST_MS
  #timer: Timer | undefined

  constructor(clock: Clock, again: () => void) {
    this.#clock = clock
    this.#again = again
  }

  /** The task has failed: schedules it again. */
  failed(): void {
    if (this.#timer !== undefined) return
    // Jitter: the task may have failed for all peers at the same moment.
    this.#timer = this.#clock.after(this.#waitMs * (0.5 + Math.random() / 2), () => {
      this.#timer = undefined
      this.#again()
    })
    this.#waitMs = Math.min(MOST_MS, 2 * this.#waitMs)
  }

  /** Cancels the next run, and resets the wait. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#waitMs = FIRST_MS
  }
}
