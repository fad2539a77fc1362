import type { NodeId, Peer } from '@peerage/protocol'
import type { Nodes } from '../nodes.js'
import type { ClaimOptions, Claimed, Lease, Lost, Owner, Reasserted, Registry } from '../registry.js'
import { PRESENTED_AHEAD_MOST_MS, isSameStay, winsOver } from '../registry.js'
import type { Store } from './store.js'

/** The registry of one process. Every method runs to its end before anything else does: that is its atomicity. */
export class MemoryRegistry implements Registry {
  readonly #store: Store
  readonly #nodes: Nodes

  constructor(store: Store, nodes: Nodes) {
    this.#store = store
    this.#nodes = nodes
  }

  async claim(peer: Peer, owner: Owner, options: ClaimOptions): Promise<Claimed> {
    this.#store.open()
    const entry = this.#store.entry(peer)
    const held = entry?.lease
    const returns = held?.secretHash === options.secretHash
    if (held && !returns && options.policy === 'refuse' && !this.#isAbandoned(held))
      return { ok: false, holder: held }
    const now = this.#store.now()
    const presented = Math.min(options.presented ?? 0, now + PRESENTED_AHEAD_MOST_MS)
    const epoch = Math.max(entry?.epoch ?? 0, presented, now) + 1
    const since = held && returns ? held.since : epoch
    const lease: Lease = { peer, ...owner, since, epoch, state: 'online', secretHash: options.secretHash }
    this.#store.put(lease, this.#store.times.nameTtlMs)
    if (held?.state !== 'online' || held.since !== since) this.#announce(lease)
    return held && !this.#isAbandoned(held) ? { ok: true, lease, replaced: held } : { ok: true, lease }
  }

  async renew(leases: readonly Lease[]): Promise<Lost[]> {
    this.#store.open()
    return leases.flatMap((lease) => this.#renew(lease))
  }

  async reassert(leases: readonly Lease[], formerNode?: NodeId): Promise<Reasserted> {
    this.#store.open()
    const outcome: Reasserted = { lost: [], evicted: [] }
    for (const lease of leases) this.#reassert(lease, formerNode, outcome)
    return outcome
  }

  async suspend(lease: Lease, graceMs: number): Promise<void> {
    this.#store.open()
    const held = this.#store.lease(lease.peer)
    if (!held || !isSameStay(held, lease) || held.state === 'away') return
    const away: Lease = { ...held, state: 'away' }
    this.#store.put(away, graceMs)
    this.#announce(away)
  }

  async release(lease: Lease): Promise<void> {
    this.#store.open()
    const held = this.#store.lease(lease.peer)
    if (held && !isSameStay(held, lease)) return
    if (held) this.#store.bury(held)
    // Its grace may have ended by itself, which announces nothing.
    else if (lease.state !== 'away') return
    this.#store.announce({ peer: lease.peer, state: 'offline', since: lease.since })
  }

  async lookup(peer: Peer): Promise<Lease | undefined> {
    this.#store.open()
    return this.#store.lease(peer)
  }

  /** Whether the holder's node died so long ago that nobody waits for it any more [I6]. An away name waits by itself. */
  #isAbandoned(lease: Lease): boolean {
    if (lease.state === 'away') return false
    const status = this.#nodes.status(lease.node)
    return status.state === 'dead' && status.deadForMs > this.#store.times.graceMs
  }

  #renew(lease: Lease): Lost[] {
    const held = this.#store.lease(lease.peer)
    if (!held) return [{ lease, reason: 'absent' }]
    if (!isSameStay(held, lease)) return [{ lease, reason: 'another', holder: held }]
    // The grace of an away name is not ours to prolong.
    if (held.state === 'online') this.#store.put(held, this.#store.times.nameTtlMs)
    return []
  }

  #reassert(lease: Lease, formerNode: NodeId | undefined, outcome: Reasserted): void {
    const entry = this.#store.entry(lease.peer)
    const held = entry?.lease
    // Released since, or released after a later claim: a ghost is not called back.
    if (entry && !held && entry.epoch >= lease.epoch) outcome.lost.push({ lease, reason: 'absent' })
    else if (!held) this.#writeBack(lease)
    else if (isSameStay(held, lease)) outcome.lost.push(...this.#renew(lease))
    else if (formerNode !== undefined && isSameStay(held, { ...lease, node: formerNode }))
      this.#store.put({ ...lease, state: held.state }, this.#ttl(held))
    else if (formerNode !== undefined || winsOver(held, lease))
      outcome.lost.push({ lease, reason: 'another', holder: held })
    else {
      outcome.evicted.push(held)
      this.#writeBack(lease)
    }
  }

  #writeBack(lease: Lease): void {
    this.#store.put(lease, this.#ttl(lease))
    this.#announce(lease)
  }

  #ttl(lease: Lease): number {
    const { graceMs, nameTtlMs } = this.#store.times
    return lease.state === 'away' ? graceMs : nameTtlMs
  }

  #announce(lease: Lease): void {
    this.#store.announce({ peer: lease.peer, state: lease.state, since: lease.since })
  }
}
