import type { Clock, Timer } from '../../lib/clock.js'
import { Listeners } from './listeners.js'

/** Changes are told at most this often when many come, and when they are merely progress. */
const PERIOD_MS = 100
/** So many changes in a period are told at once. */
const AT_ONCE = 8

/** Tells listeners that something has changed: soon, but not too often. */
export class Changes {
  readonly #clock: Clock
  readonly #listeners: Listeners<undefined>
  #timer: Timer | undefined
  /** A change is told in the next microtask. */
  #isSoon = false
  /** A change waits for the end of the period. */
  #isDue = false
  #toldInPeriod = 0
  #isClosed = false

  constructor(clock: Clock, onError: (error: unknown) => void) {
    this.#clock = clock
    this.#listeners = new Listeners(onError)
  }

  listen(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** `isProgress`: the change can wait for a moment. */
  changed(isProgress: boolean): void {
    if (this.#isClosed || this.#isSoon) return
    if (isProgress || this.#toldInPeriod >= AT_ONCE) {
      this.#isDue = true
      return this.#startPeriod()
    }
    this.#isSoon = true
    queueMicrotask(() => {
      this.#isSoon = false
      this.#toldInPeriod++
      this.#startPeriod()
      this.#tell()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#listeners.clear()
  }

  #startPeriod(): void {
    this.#timer ??= this.#clock.after(PERIOD_MS, () => {
      this.#timer = undefined
      this.#toldInPeriod = 0
      if (this.#isDue) this.#tell()
    })
  }

  #tell(): void {
    this.#isDue = false
    if (this.#isClosed) return
    this.#listeners.tell(undefined)
  }
}
