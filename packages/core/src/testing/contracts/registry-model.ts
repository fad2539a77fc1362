import type { NodeId, Peer } from '@peerage/protocol'
import { expect } from 'vitest'
import type { Lease } from '../../names/registry.js'
import { cameAfter, isSameLease, rankOf, ranked, winsOver } from '../../names/registry.js'
import type { ContractCluster, ContractNode } from '../cluster.js'
import { newNodeId } from '../cluster.js'

// The registry as the simplest possible model: a map. A property test runs it and a real registry side by side.

/** Whether both are the same lease of the same holder. */
function isSameHolder(a: Lease, b: Lease): boolean {
  return isSameLease(a, b) && a.since === b.since
}

/** A node of the model. It gets a new identity when it is restarted. */
export interface ModelNode extends ContractNode {
  /** True: it was killed. It does not beat, and the test does not call it. */
  crashed: boolean
}

interface Held {
  lease: Lease
  endsAt: number
}

export class RegistryModel {
  readonly cluster: ContractCluster
  readonly nodes: ModelNode[]
  readonly peers: Peer[]
  /** Every lease that was ever made, for late calls. */
  readonly former: Lease[] = []
  readonly #names = new Map<Peer, Held>()
  readonly #highest = new Map<Peer, number>()
  /** When each identity's lease ends or ended. -Infinity: it left. */
  readonly #ends = new Map<NodeId, number>()
  readonly #released = new Set<Lease>()

  constructor(cluster: ContractCluster, nodes: ModelNode[], peers: Peer[]) {
    this.cluster = cluster
    this.nodes = nodes
    this.peers = peers
    for (const node of nodes) this.beaten(node.node)
  }

  now(): number {
    return Math.floor(this.cluster.now())
  }

  highest(peer: Peer): number {
    return this.#highest.get(peer) ?? 0
  }

  held(peer: Peer): Lease | undefined {
    const held = this.#names.get(peer)
    return held && held.endsAt > this.now() ? held.lease : undefined
  }

  beaten(node: NodeId): void {
    this.#ends.set(node, this.now() + this.cluster.times.nodeLeaseMs)
  }

  left(node: NodeId): void {
    this.#ends.set(node, Number.NEGATIVE_INFINITY)
  }

  isAbandoned(lease: Lease): boolean {
    if (lease.state === 'away') return false
    const end = this.#ends.get(lease.node) ?? Number.NEGATIVE_INFINITY
    return this.now() - end > this.cluster.times.graceMs
  }

  flush(): void {
    this.#names.clear()
  }

  /** Whether a claim with this secret must win. */
  mustWin(peer: Peer, secretHash: string, policy: 'refuse' | 'replace'): boolean {
    const held = this.held(peer)
    if (!held || held.secretHash === secretHash || policy === 'replace') return true
    return this.isAbandoned(held)
  }

  /** Records a claim that won, and checks it against the previous holder. */
  won(lease: Lease): void {
    const before = this.held(lease.peer)
    expect(lease.state).toBe('online')
    expect(lease.epoch, '[I2]').toBeGreaterThan(this.highest(lease.peer))
    if (before?.secretHash === lease.secretHash) expect(lease.since, '[I8]').toBe(before.since)
    else expect(lease.since).toBe(lease.epoch)
    this.#highest.set(lease.peer, lease.epoch)
    this.former.push(lease)
    this.#put(lease, this.cluster.times.nameTtlMs)
  }

  renewed(lease: Lease): void {
    const held = this.held(lease.peer)
    if (held && isSameHolder(held, lease) && held.state === 'online')
      this.#put(held, this.cluster.times.nameTtlMs)
  }

  suspended(lease: Lease, graceMs: number): void {
    const held = this.held(lease.peer)
    if (held && isSameHolder(held, lease) && held.state === 'online')
      this.#put({ ...held, state: 'away' }, graceMs)
  }

  released(lease: Lease): void {
    this.#released.add(lease)
    const held = this.held(lease.peer)
    if (held && isSameHolder(held, lease)) this.#names.delete(lease.peer)
  }

  /** A node never re-asserts a lease that it has released. */
  mayReassert(lease: Lease): boolean {
    return !this.#released.has(lease)
  }

  /**
   * The expected result of a re-assertion. `either`: a later lease was released a moment ago, and its tombstone may
   * still exist. `merges`: both claims belong to one peer.
   */
  reassertion(lease: Lease): 'ours' | 'lost' | 'evicts' | 'either' | 'merges' {
    const held = this.held(lease.peer)
    if (!held) return lease.epoch < this.highest(lease.peer) ? 'either' : 'ours'
    if (isSameHolder(held, lease)) return 'ours'
    if (cameAfter(held, lease)) return 'lost'
    if (cameAfter(lease, held)) return 'ours'
    if (held.secretHash === lease.secretHash) return 'merges'
    return winsOver(held, lease) ? 'lost' : 'evicts'
  }

  /** Merges two claims of one peer: the later one keeps the name with the older since. Returns the new holder. */
  merged(lease: Lease): Lease {
    const held = this.#names.get(lease.peer)
    if (held === undefined) throw new Error('there is no lease to merge with')
    const keepsHeld = winsOver(ranked(held.lease, 0), ranked(lease, 0))
    const since = Math.min(held.lease.since, lease.since)
    const rank = Math.min(rankOf(held.lease), rankOf(lease))
    const holder = ranked({ ...(keepsHeld ? held.lease : lease), since }, rank)
    this.#names.set(lease.peer, {
      lease: holder,
      endsAt: keepsHeld ? held.endsAt : this.now() + this.cluster.times.nameTtlMs,
    })
    return holder
  }

  wroteBack(lease: Lease): void {
    const held = this.held(lease.peer)
    if (held && isSameHolder(held, lease)) this.renewed(lease)
    else this.#put(lease, this.cluster.times.nameTtlMs)
  }

  /** Compares every name with the real registry, as each living node sees it. */
  async check(): Promise<void> {
    for (const peer of this.peers)
      for (const node of this.nodes) {
        if (node.crashed) continue
        expect(await node.backend.registry.lookup(peer)).toEqual(this.held(peer))
      }
  }

  restart(node: ModelNode): void {
    node.node = newNodeId()
    node.crashed = false
    node.backend.identify(node.node)
  }

  #put(lease: Lease, ttlMs: number): void {
    this.#names.set(lease.peer, { lease, endsAt: this.now() + ttlMs })
  }
}
