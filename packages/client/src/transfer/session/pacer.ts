import type { Clock } from '../../lib/clock.js'

/** The share of the server's rate that we use. The rest is for repeated messages and for the application's own. */
const SHARE = 0.9
/** How far a sender may be ahead of the rate. The node allows two seconds' worth at once. */
const AHEAD_MS = 250

/**
 * Keeps all messages of this peer through the server within the rate of the relay policy, in the order of the calls.
 * Above the rate the server would refuse a message, which then waits two seconds for its repetition.
 */
export class Pacer {
  readonly #clock: Clock
  readonly #bytesPerSecond: () => number
  /** When the bytes so far will have passed, in the clock's milliseconds. */
  #freeAt = 0

  /** `bytesPerSecond` returns the rate of the policy; 0: no limit. */
  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Resolves when this many bytes may be sent. */
  async turn(bytes: number): Promise<void> {
    const rate = this.#bytesPerSecond() * SHARE
    if (rate === 0) return
    const now = this.#clock.now()
    const takesMs = (bytes / rate) * 1_000
    // If the clock was set back, what was reserved before does not count.
    const freeAt = this.#freeAt - now > MOST_MS ? now : this.#freeAt
    const at = Math.max(now, freeAt)
    this.#freeAt = at + takesMs
    const waitMs = at - now - AHEAD_MS
    if (waitMs > 0) await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve))
  }
}

/** No more than this is reserved by honest use: some sessions with one message each. */
const MOST_MS = 60_000
