import type { Clock } from '@peerage/core'
import { CoarseTimers } from '@peerage/core'

/** What is watched before a close. */
export interface Quiet {
  /** Grows with each publication of the peer or for it. */
  readonly activity: number
  /** How many publications are on their way to the channel. */
  readonly saying: number
}

interface Look {
  activity: number
  /** Monotonic time after which it is closed anyhow. */
  until: number
}

/** A step of a WebRTC handshake takes less than this. */
const QUIET_MS = 2_000
/** After so long, a connection that is never quiet is closed. */
const BUSY_MOST_MS = 15_000

/**
 * Closes connections once nothing has been published by or for them for 2 s. While a socket is closed and its peer has not
 * come back, a signal for the peer is lost, and y-webrtc sends none twice. So a close must not fall into a handshake.
 */
export class QuietCloses<C extends Quiet> {
  readonly #clock: Clock
  readonly #close: (connection: C) => void
  readonly #timers: CoarseTimers<C>
  readonly #looks = new Map<C, Look>()

  constructor(clock: Clock, close: (connection: C) => void) {
    this.#clock = clock
    this.#close = close
    this.#timers = new CoarseTimers(clock, (due) => {
      for (const connection of due) this.#look(connection)
    })
  }

  /**
   * Closes the connection when it is quiet: at least 2 s after `ms`, and at most 15 s after it. Asked again, the 2 s begin
   * anew.
   */
  add(connection: C, ms: number): void {
    const known = this.#looks.get(connection)
    const until = known?.until ?? this.#clock.monotonic() + ms + BUSY_MOST_MS
    this.#looks.set(connection, { activity: -1, until })
    if (known === undefined) this.#timers.add(connection, ms)
  }

  /** The connection has ended. */
  delete(connection: C): void {
    this.#timers.delete(connection)
    this.#looks.delete(connection)
  }

  stop(): void {
    this.#timers.stop()
    this.#looks.clear()
  }

  #look(connection: C): void {
    const look = this.#looks.get(connection)
    if (look === undefined) return
    const { activity, saying } = connection
    if ((activity !== look.activity || saying > 0) && this.#clock.monotonic() < look.until) {
      look.activity = activity
      this.#timers.add(connection, QUIET_MS)
      return
    }
    this.#looks.delete(connection)
    this.#close(connection)
  }
}
