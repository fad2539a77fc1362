import { CoarseTimers, type Clock } from '@peerage/core'
import type { CloseReason } from '@peerage/protocol'
import type { CloseOptions } from './connection.js'

/** A connection that is closed later. */
interface Closable {
  close(reason: CloseReason, options?: CloseOptions): void
}

interface How {
  reason: CloseReason
  options: CloseOptions
}

/** Closes connections later, each at its own time. Thousands of them share a few timers. */
export class LateCloses {
  readonly #timers: CoarseTimers<Closable>
  readonly #how = new Map<Closable, How>()

  constructor(clock: Clock) {
    this.#timers = new CoarseTimers(clock, (due) => {
      for (const connection of due) this.#close(connection)
    })
  }

  has(connection: Closable): boolean {
    return this.#how.has(connection)
  }

  /**
   * Closes the connection `ms` from now, up to 250 ms late. If the connection is to be closed already, the earlier time
   * and the first reason count.
   */
  add(connection: Closable, ms: number, reason: CloseReason, options: CloseOptions = {}): void {
    if (!this.#how.has(connection)) this.#how.set(connection, { reason, options })
    this.#timers.add(connection, ms)
  }

  /** The connection has ended. */
  delete(connection: Closable): void {
    this.#timers.delete(connection)
    this.#how.delete(connection)
  }

  stop(): void {
    this.#timers.stop()
    this.#how.clear()
  }

  #close(connection: Closable): void {
    const how = this.#how.get(connection)
    this.#how.delete(connection)
    if (how !== undefined) connection.close(how.reason, how.options)
  }
}
