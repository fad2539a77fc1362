import type { ConnectionId } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { Sessions } from './sessions.js'

/** How soon a peer that reads again is told what it missed. */
const POLL_MS = 250

export interface SlowReadersOptions {
  sessions: Sessions
  clock: Clock
  /** Tells a connection what it has missed. Returns false if the connection did not take all of it. */
  catchUp: (connection: ConnectionId) => boolean
}

/**
 * Connections that did not take a change because they read too slowly. They must not keep an outdated state, so the
 * node tells each of them when it reads again. One timer polls all of them, and it runs only while there are any.
 */
export class SlowReaders {
  readonly #options: SlowReadersOptions
  readonly #connections = new Set<ConnectionId>()

  constructor(options: SlowReadersOptions) {
    this.#options = options
  }

  add(connection: ConnectionId): void {
    if (this.#connections.size === 0) this.#pollLater()
    this.#connections.add(connection)
  }

  #pollLater(): void {
    this.#options.clock.after(POLL_MS, () => this.#poll())
  }

  #poll(): void {
    const { sessions, catchUp } = this.#options
    for (const id of this.#connections) {
      const session = sessions.get(id)
      if (session?.state === 'online' && (session.connection.isBehind || !catchUp(id))) continue
      this.#connections.delete(id)
    }
    if (this.#connections.size > 0) this.#pollLater()
  }
}
