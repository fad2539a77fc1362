import type { Peer, PresenceState } from '@peerage/protocol'
import type { Nodes } from '../names/nodes.js'
import type { Lease } from '../names/registry.js'

export interface PresenceChange {
  peer: Peer
  state: PresenceState
  since?: number
}

/**
 * Changes of names, as the registry makes them. A notification may be lost: whoever needs the truth looks up
 * [I15]. Subscriptions survive a reconnect of the store; after one, the backend's `doubt` says to look again.
 */
export interface Presence {
  /** Resolves when the subscription stands: a look-up after it misses nothing. Idempotent. */
  watch(peer: Peer): Promise<void>
  unwatch(peer: Peer): void
  /** One listener: the core's watchers. */
  onChange(listener: (change: PresenceChange) => void): void
}

/** How a peer stands, and which holder of its name it is. */
export interface Seen {
  state: PresenceState
  since?: number
}

/** What a lease says of its peer, given who is alive: a dead node's names wait for the grace, then are free. */
export function presenceOf(lease: Lease | undefined, nodes: Nodes, graceMs: number): PresenceState {
  if (lease === undefined) return 'offline'
  // It waits for its holder until it ends by itself, whatever became of the node that suspended it.
  if (lease.state === 'away') return 'away'
  const status = nodes.status(lease.node)
  switch (status.state) {
    case 'live':
      return 'online'
    case 'dead':
      return status.deadForMs > graceMs ? 'offline' : 'away'
    case 'unknown':
      // Newer than our last beat, most likely; the bus tells if nobody listens.
      return 'online'
  }
}

/** The same, as peers are told it. */
export function seenOf(lease: Lease | undefined, nodes: Nodes, graceMs: number): Seen {
  const state = presenceOf(lease, nodes, graceMs)
  return lease === undefined || state === 'offline' ? { state: 'offline' } : { state, since: lease.since }
}
