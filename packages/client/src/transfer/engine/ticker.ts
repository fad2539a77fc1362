import type { Clock, Timer } from '../../lib/clock.js'

const TICK_MS = 1_000

/** Calls `tick` once a second, as long as `isBusy` says that there is something to watch. */
export class Ticker {
  readonly #clock: Clock
  readonly #isBusy: () => boolean
  readonly #tick: () => void
  #timer: Timer | undefined
  #isClosed = false

  constructor(clock: Clock, isBusy: () => boolean, tick: () => void) {
    this.#clock = clock
    this.#isBusy = isBusy
    this.#tick = tick
  }

  /** Something may have begun. */
  wake(): void {
    if (this.#isClosed || this.#timer !== undefined || !this.#isBusy()) return
    this.#timer = this.#clock.after(TICK_MS, () => {
      this.#timer = undefined
      this.#tick()
      this.wake()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }
}
