import type { Clock, Timer } from '../../lib/clock.js'

/**
 * Connected, but no channel: a lost DTLS flight is sent again after 1 s and 3 s. What does not open after that (one in
 * six behind symmetric NATs on a loaded machine) opens on a fresh try.
 */
const STUCK_MS = 4_000
/** A path that is silent this long is looked for anew, long before ICE itself gives up after 15 to 30 s. */
const SILENT_MS = 3_000
/** A new path must be found within this, else the channel is closed. */
const RECOVER_MS = 15_000

/** Limits how long a connection may be without a channel or without a path. */
export class PathWatch {
  readonly #clock: Clock
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** ICE is connected, and the channel is to open. */
  opening(stuck: () => void): void {
    if (this.#timer === undefined) this.#watch(STUCK_MS, stuck)
  }

  /** Nothing comes over the path. */
  silent(recover: () => void): void {
    this.#watch(SILENT_MS, recover)
  }

  /** Another path is looked for. */
  recovering(fail: () => void): void {
    this.#watch(RECOVER_MS, fail)
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #watch(ms: number, task: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#clock.after(ms, task)
  }
}
