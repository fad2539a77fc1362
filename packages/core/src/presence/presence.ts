import type { Peer, PresenceState } from '@peerage/protocol'
import type { Nodes } from '../names/nodes.js'
import type { Lease } from '../names/registry.js'

export interface PresenceChange {
  peer: Peer
  state: PresenceState
  since?: number
}

/**
 * Notifications of changes of names, as the registry makes them. Contract (testing/contracts/presence-contract.ts):
 * - a notification may be lost, but is never wrong; to know the current state, look the name up [I15];
 * - subscriptions survive a reconnect to the store. After a reconnect, the backend's `doubt` event means: look up
 *   again.
 */
export interface Presence {
  /**
   * Resolves when the subscription is active: a look-up after it misses no change. Idempotent. Rejects with
   * RegistryUnavailable within `commandMs`.
   */
  watch(peer: Peer): Promise<void>
  unwatch(peer: Peer): void
  /** Sets the one listener: the core's `Watchers`. */
  onChange(listener: (change: PresenceChange) => void): void
}

/** The presence of a peer, and which holder of its name it is. */
export interface Seen {
  state: PresenceState
  since?: number
}

/**
 * The presence of a name, derived from its lease and from the set of live nodes. Names of a dead node are away for the
 * grace, and then free.
 */
export function presenceOf(
  lease: Pick<Lease, 'node' | 'state'> | undefined,
  nodes: Nodes,
  graceMs: number,
): PresenceState {
  if (lease === undefined) return 'offline'
  // A suspended name stays reserved until its lease ends, even if the node that suspended it is dead.
  if (lease.state === 'away') return 'away'
  const status = nodes.status(lease.node)
  switch (status.state) {
    case 'live':
      return 'online'
    case 'dead':
      return status.deadForMs > graceMs ? 'offline' : 'away'
    case 'unknown':
      // Most likely that node started after our last beat. If it did not, the bus finds that nobody listens there.
      return 'online'
  }
}

/** The presence of a name, in the form in which peers get it. */
export function seenOf(lease: Lease | undefined, nodes: Nodes, graceMs: number): Seen {
  const state = presenceOf(lease, nodes, graceMs)
  return lease === undefined || state === 'offline' ? { state: 'offline' } : { state, since: lease.since }
}
