import type { Peer } from '@peerage/protocol'

export interface PresenceChange {
  peer: Peer
  state: 'online' | 'away' | 'offline'
  since?: number
}

/**
 * Changes of names, as the registry makes them. A notification may be lost: whoever needs the truth looks up
 * [I15]. Subscriptions survive a reconnect of the store; after one, `onDoubt` of the backend says to look again.
 */
export interface Presence {
  /** Resolves when the subscription stands: a look-up after it misses nothing. Idempotent. */
  watch(peer: Peer): Promise<void>
  unwatch(peer: Peer): void
  /** One listener: the core's watchers. */
  onChange(listener: (change: PresenceChange) => void): void
}
