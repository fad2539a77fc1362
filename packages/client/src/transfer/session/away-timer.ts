import type { Clock, Timer } from '../../lib/clock.js'

/** How long a session waits for the other peer. */
export const AWAY_MS = 10 * 60_000
const TICK_MS = 15_000

/**
 * Counts how long the other peer is missing while this peer is online itself. A machine that sleeps counts as one tick,
 * so that a session is still there when a laptop is opened again.
 */
export class AwayTimer {
  readonly #clock: Clock
  readonly #isSelfOnline: () => boolean
  readonly #over: () => void
  #countedMs = 0
  #timer: Timer | undefined

  constructor(clock: Clock, isSelfOnline: () => boolean, over: () => void) {
    this.#clock = clock
    this.#isSelfOnline = isSelfOnline
    this.#over = over
  }

  start(): void {
    this.#timer ??= this.#clock.after(TICK_MS, () => {
      this.#timer = undefined
      if (this.#isSelfOnline()) this.#countedMs += TICK_MS
      if (this.#countedMs >= AWAY_MS) this.#over()
      else this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#countedMs = 0
  }
}
