import type { ConnectionId, Peer } from '@peerage/protocol'
import { nameOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import { SlowReaders } from '../sessions/slow-readers.js'
import type { Clock } from '../lib/clock.js'
import { CoarseTimers } from '../lib/coarse-timers.js'
import type { Nodes } from '../names/nodes.js'
import type { Presence, Seen } from './presence.js'
import { seenOf } from './presence.js'
import type { Lease, Registry } from '../names/registry.js'
import type { Sessions } from '../sessions/sessions.js'
import { RENEW_ROUND_BEATS } from '../times.js'

export interface WatchersOptions {
  presence: Presence
  nodes: Nodes
  sessions: Sessions
  clock: Clock
  graceMs: number
  registry: Registry
  onError: OnError
}

interface Watched {
  readonly connections: Set<ConnectionId>
  seen: Seen
}

/**
 * Which connections watch which peers. Notifications make changes arrive fast. Nothing notifies of the end of a
 * grace, so this node looks each watched peer that is away up again when its grace ends. In addition each beat looks
 * up one share of the watched peers, which corrects a lost notification, or a node that died without one [I15].
 */
export class Watchers {
  readonly #options: WatchersOptions
  readonly #watched = new Map<Peer, Watched>()
  readonly #byConnection = new Map<ConnectionId, Set<Peer>>()
  /** For each slow connection, the peers whose latest state it has not received yet. */
  readonly #missed = new Map<ConnectionId, Set<Peer>>()
  readonly #slow: SlowReaders
  /** Watched peers that are away, until their graces end. */
  readonly #graces: CoarseTimers<Peer>
  #turn = 0

  constructor(options: WatchersOptions) {
    this.#options = options
    this.#slow = new SlowReaders({ ...options, catchUp: (connection) => this.#catchUp(connection) })
    this.#graces = new CoarseTimers(options.clock, (peers) => this.#refresh(peers))
    options.presence.onChange(({ peer, state }) => {
      if (state === 'away' && this.#watched.has(peer)) this.#graces.add(peer, options.graceMs)
      this.#refresh([peer])
    })
  }

  /** The peers that a connection watches. */
  of(connection: ConnectionId): Peer[] {
    return [...(this.#byConnection.get(connection) ?? [])]
  }

  count(connection: ConnectionId): number {
    return this.#byConnection.get(connection)?.size ?? 0
  }

  /**
   * Subscribes before it looks up, so that it misses no change. Returns the current presence. The caller limits how many
   * peers a connection may watch. Rejects with RegistryUnavailable.
   */
  async watch(connection: ConnectionId, peer: Peer): Promise<Seen> {
    let watched = this.#watched.get(peer)
    if (watched === undefined) {
      watched = { connections: new Set(), seen: { state: 'offline' } }
      this.#watched.set(peer, watched)
    }
    watched.connections.add(connection)
    const peers = this.#byConnection.get(connection) ?? new Set()
    this.#byConnection.set(connection, peers.add(peer))
    try {
      await this.#options.presence.watch(peer)
    } catch (error) {
      // The subscription was cancelled because no connection needs it any more. That is not an outage of the registry.
      if (this.#watched.get(peer) === watched) throw error
    }
    return this.#found(peer, await this.#options.registry.lookup(peer), connection)
  }

  unwatch(connection: ConnectionId, peer: Peer): void {
    const peers = this.#byConnection.get(connection)
    if (!peers?.delete(peer)) return
    if (peers.size === 0) this.#byConnection.delete(connection)
    this.#missed.get(connection)?.delete(peer)
    const watched = this.#watched.get(peer)
    watched?.connections.delete(connection)
    if (watched?.connections.size !== 0) return
    this.#watched.delete(peer)
    this.#graces.delete(peer)
    this.#options.presence.unwatch(peer)
  }

  forget(connection: ConnectionId): void {
    for (const peer of this.#byConnection.get(connection) ?? []) this.unwatch(connection, peer)
    this.#missed.delete(connection)
  }

  /** Once a beat: looks one share of the watched peers up. */
  refreshTurn(): void {
    const share = [...this.#watched.keys()].filter((_, i) => i % RENEW_ROUND_BEATS === this.#turn)
    this.#turn = (this.#turn + 1) % RENEW_ROUND_BEATS
    this.#refresh(share)
  }

  /** After the store may have lost data: looks all watched peers up. */
  refreshAll(): void {
    this.#refresh([...this.#watched.keys()])
  }

  stop(): void {
    this.#graces.stop()
  }

  #refresh(peers: Peer[]): void {
    for (const peer of peers) {
      if (!this.#watched.has(peer)) continue
      this.#options.registry.lookup(peer).then(
        (lease) => void this.#found(peer, lease),
        (error: unknown) => this.#options.onError(error, { stage: 'watch' }),
      )
    }
  }

  #found(peer: Peer, lease: Lease | undefined, except?: ConnectionId): Seen {
    const seen = seenOf(lease, this.#options.nodes, this.#options.graceMs)
    this.#tell(peer, seen, except)
    if (seen.state !== 'away' || lease === undefined) this.#graces.delete(peer)
    else if (!this.#graces.has(peer)) void this.#awaitEnd(lease)
    return seen
  }

  /** Sets the time of the look-up at the end of the grace. If the registry fails, a later look-up sets it. */
  async #awaitEnd(lease: Lease): Promise<void> {
    const { registry, nodes, graceMs, onError } = this.#options
    const { peer } = lease
    try {
      const status = nodes.status(lease.node)
      const deadForMs = status.state === 'dead' ? status.deadForMs : 0
      const endsIn = lease.state === 'away' ? await registry.graceEndsIn(peer) : graceMs - deadForMs
      if (this.#watched.has(peer)) this.#graces.add(peer, endsIn)
    } catch (error) {
      onError(error, { stage: 'watch' })
    }
  }

  #tell(peer: Peer, seen: Seen, except?: ConnectionId): void {
    const watched = this.#watched.get(peer)
    if (watched === undefined) return
    const { state, since } = watched.seen
    if (state === seen.state && since === seen.since) return
    watched.seen = seen
    for (const id of watched.connections) if (id !== except) this.#send(id, peer, seen)
  }

  #send(id: ConnectionId, peer: Peer, seen: Seen): void {
    const connection = this.#options.sessions.get(id)?.connection
    if (connection === undefined) return
    const missed = this.#missed.get(id)
    if (connection.send({ type: 'presence', name: nameOf(peer), ...seen })) missed?.delete(peer)
    else {
      this.#missed.set(id, (missed ?? new Set()).add(peer))
      this.#slow.add(id)
    }
  }

  #catchUp(id: ConnectionId): boolean {
    const missed = this.#missed.get(id)
    for (const peer of missed ?? []) {
      const watched = this.#watched.get(peer)
      if (watched) this.#send(id, peer, watched.seen)
      if (watched && missed?.has(peer)) return false
    }
    this.#missed.delete(id)
    return true
  }
}
