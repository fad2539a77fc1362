import type { Peer } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Presence, PresenceChange } from '../presence/presence.js'
import type { Store } from './store.js'

/** The watched names of one node. */
export class MemoryPresence implements Presence {
  readonly #store: Store
  readonly #onError: OnError
  readonly #watched = new Set<Peer>()
  #listener: ((change: PresenceChange) => void) | undefined

  constructor(store: Store, onError: OnError) {
    this.#store = store
    this.#onError = onError
  }

  async watch(peer: Peer): Promise<void> {
    this.#store.open()
    this.#watched.add(peer)
    this.#store.watchers.add(this.#hear)
  }

  unwatch(peer: Peer): void {
    this.#watched.delete(peer)
    if (this.#watched.size === 0) this.#store.watchers.delete(this.#hear)
  }

  onChange(listener: (change: PresenceChange) => void): void {
    this.#listener = listener
  }

  close(): void {
    this.#watched.clear()
    this.#store.watchers.delete(this.#hear)
  }

  readonly #hear = (change: PresenceChange): void => {
    if (!this.#watched.has(change.peer)) return
    try {
      this.#listener?.(change)
    } catch (error) {
      this.#onError(error, { stage: 'presence' })
    }
  }
}
