import type { Clock } from '@peerage/core'
import { CoarseTimers } from '@peerage/core'
import type { CloseReason } from '@peerage/protocol'
import type { Allowed } from './access.js'

/** Tokens of many peers end at the same second. Their connections end spread over this time. */
const SPREAD_MS = 10_000
/** The longest wait at once: it fits into a timer of Node, and a changed wall clock is noticed after it. */
const MOST_WAIT_MS = 3_600_000

/** A connection whose access may end. */
export interface Ending {
  /** When the node ends the connection (Unix ms). Written by `AccessEnds`. */
  endsAt: number | undefined
  close(reason: CloseReason): void
}

/**
 * Closes connections with `token-expired` when their access and its tolerance have ended, up to 10 s later. By then the
 * same token is refused, so a peer that comes back with it does not come in again.
 */
export class AccessEnds {
  readonly #clock: Clock
  readonly #timers: CoarseTimers<Ending>

  constructor(clock: Clock) {
    this.#clock = clock
    this.#timers = new CoarseTimers(clock, (due) => {
      for (const connection of due) this.#due(connection)
    })
  }

  /** The end of this access replaces that of the former one. An access without an end ends never. */
  set(connection: Ending, { endsAt, toleranceMs = 0 }: Pick<Allowed, 'endsAt' | 'toleranceMs'> = {}): void {
    this.#timers.delete(connection)
    connection.endsAt = endsAt === undefined ? undefined : endsAt + toleranceMs + Math.random() * SPREAD_MS
    this.#wait(connection)
  }

  delete(connection: Ending): void {
    this.#timers.delete(connection)
  }

  stop(): void {
    this.#timers.stop()
  }

  #wait(connection: Ending): void {
    if (connection.endsAt === undefined) return
    const ms = connection.endsAt - this.#clock.now()
    this.#timers.add(connection, Math.min(Math.max(ms, 0), MOST_WAIT_MS))
  }

  #due(connection: Ending): void {
    if (connection.endsAt === undefined || connection.endsAt > this.#clock.now()) this.#wait(connection)
    else connection.close('token-expired')
  }
}
