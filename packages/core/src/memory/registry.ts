import type { Peer } from '@peerage/protocol'
import type { Nodes } from '../names/nodes.js'
import type {
  ClaimOptions,
  Claimed,
  Lease,
  Lost,
  Owner,
  ReassertOptions,
  Reasserted,
  Registry,
} from '../names/registry.js'
import {
  PRESENTED_AHEAD_MOST_MS,
  cameAfter,
  isSameLease,
  rankOf,
  ranked,
  winsOver,
} from '../names/registry.js'
import type { Store } from './store.js'

/** The registry of one process. Each method is atomic because it runs to its end without waiting. */
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
    if (!held && options.absent === 'leave') return { ok: false, holder: undefined }
    const now = this.#store.now()
    const presented = Math.min(options.presented ?? 0, now + PRESENTED_AHEAD_MOST_MS)
    const epoch = Math.max(entry?.epoch ?? 0, presented, now) + 1
    const since = held && returns ? held.since : epoch
    // A claim that returns, replaces the holder, or follows a released lease takes over that rank, so any lease of
    // that holder that a node still knows loses against it. A claim after the holder of a dead node starts with a
    // rank of its own.
    const inherits = returns || options.policy === 'replace'
    const rank = (held ? inherits && rankOf(held) : entry?.rank) || since
    const lease: Lease = ranked(
      { peer, ...owner, since, epoch, state: 'online', secretHash: options.secretHash },
      rank,
    )
    this.#store.put(lease, this.#store.times.nameTtlMs)
    if (held?.state !== 'online' || held.since !== since) this.#announce(lease)
    return held && !this.#isAbandoned(held) ? { ok: true, lease, replaced: held } : { ok: true, lease }
  }

  async renew(leases: readonly Lease[]): Promise<Lost[]> {
    this.#store.open()
    return leases.flatMap((lease) => this.#renew(lease))
  }

  async reassert(leases: readonly Lease[], options: ReassertOptions = {}): Promise<Reasserted> {
    this.#store.open()
    const outcome: Reasserted = { lost: [], evicted: [] }
    for (const lease of leases) this.#reassert(lease, options, outcome)
    return outcome
  }

  async suspend(lease: Lease, graceMs: number): Promise<void> {
    this.#store.open()
    const held = this.#store.lease(lease.peer)
    if (!held || !isSameLease(held, lease) || held.state === 'away') return
    const away: Lease = { ...held, state: 'away' }
    this.#store.put(away, graceMs)
    this.#announce(away)
  }

  async release(lease: Lease): Promise<void> {
    this.#store.open()
    const held = this.#store.lease(lease.peer)
    if (held && !isSameLease(held, lease)) return
    if (held) this.#store.putTombstone(held)
    // The grace of an away name may have ended by itself, and that notifies nobody.
    else if (lease.state !== 'away') return
    this.#store.announce({ peer: lease.peer, state: 'offline', since: lease.since })
  }

  async lookup(peer: Peer): Promise<Lease | undefined> {
    this.#store.open()
    return this.#store.lease(peer)
  }

  async graceEndsIn(peer: Peer): Promise<number> {
    this.#store.open()
    const entry = this.#store.entry(peer)
    return entry?.lease === undefined ? 0 : entry.expiresAt - this.#store.now()
  }

  /** Whether the holder's node has been dead for longer than the grace [I6]. An away name has a grace of its own. */
  #isAbandoned(lease: Lease): boolean {
    if (lease.state === 'away') return false
    const status = this.#nodes.status(lease.node)
    return status.state === 'dead' && status.deadForMs > this.#store.times.graceMs
  }

  #renew(lease: Lease): Lost[] {
    const held = this.#store.lease(lease.peer)
    if (!held) return [{ lease, reason: 'absent' }]
    if (!isSameLease(held, lease) || held.since !== lease.since)
      return [{ lease, reason: 'another', holder: held }]
    // A renewal must not prolong the grace of an away name.
    if (held.state === 'online') this.#store.put(held, this.#store.times.nameTtlMs)
    return []
  }

  #reassert(lease: Lease, options: ReassertOptions, outcome: Reasserted): void {
    const { formerNode, graceMs = this.#store.times.graceMs } = options
    const entry = this.#store.entry(lease.peer)
    const held = entry?.lease
    // The name was released after this lease or a later one, so this lease is outdated and must not come back.
    if (entry && !held && entry.epoch >= lease.epoch) outcome.lost.push({ lease, reason: 'absent' })
    else if (!held) this.#writeBack(lease, graceMs)
    else if (isSameLease(held, lease)) outcome.lost.push(...this.#renew(lease))
    else if (formerNode !== undefined && isSameLease(held, { ...lease, node: formerNode }))
      this.#store.put({ ...lease, state: held.state }, this.#ttl(held))
    else if (formerNode !== undefined) outcome.lost.push({ lease, reason: 'another', holder: held })
    else if (cameAfter(held, lease)) outcome.lost.push({ lease, reason: 'another', holder: held })
    else if (cameAfter(lease, held)) this.#writeBack(lease, graceMs)
    else if (held.secretHash === lease.secretHash) this.#merge(held, lease, graceMs, outcome)
    else if (winsOver(held, lease)) outcome.lost.push({ lease, reason: 'another', holder: held })
    else {
      outcome.evicted.push(held)
      this.#writeBack(lease, graceMs)
    }
  }

  // Two claims of one peer. The later one (the higher epoch) says where the peer is now; the older `since` identifies
  // it.
  #merge(held: Lease, lease: Lease, graceMs: number, outcome: Reasserted): void {
    const keepsHeld = winsOver(ranked(held, 0), ranked(lease, 0))
    const since = Math.min(held.since, lease.since)
    const rank = Math.min(rankOf(held), rankOf(lease))
    const holder = ranked({ ...(keepsHeld ? held : lease), since }, rank)
    if (keepsHeld) this.#store.replaceLease(holder)
    else this.#writeBack(holder, graceMs)
    if (keepsHeld || since !== lease.since) outcome.lost.push({ lease, reason: 'another', holder })
  }

  #writeBack(lease: Lease, graceMs: number): void {
    this.#store.put(lease, this.#ttl(lease, graceMs))
    this.#announce(lease)
  }

  #ttl(lease: Lease, graceMs = this.#store.times.graceMs): number {
    return lease.state === 'away' ? graceMs : this.#store.times.nameTtlMs
  }

  #announce(lease: Lease): void {
    this.#store.announce({ peer: lease.peer, state: lease.state, since: lease.since })
  }
}
