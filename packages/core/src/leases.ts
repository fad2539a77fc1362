import type { NodeId, Peer } from '@peerage/protocol'
import type { OnError } from './backend.js'
import type { Clock, Timer } from './clock.js'
import type { Lease, Lost, Reasserted, Registry } from './registry.js'
import { RegistryUnavailable } from './registry.js'
import { RENEW_ROUND_BEATS } from './times.js'

export interface LeasesParts {
  registry: Registry
  clock: Clock
  graceMs: number
  nameTtlMs: number
  /** This node holds the name no more. */
  lost: (lost: Lost) => void
  /** Another node's claim lost against ours: its holder must be told. */
  evicted: (lease: Lease) => void
  onError: OnError
}

/** Re-asserted at once, so that a flush of many names does not become one burst [I10]. */
const REASSERT_BATCH = 500
const REASSERT_JITTER_MS = 50

type Parting = { lease: Lease; how: 'release' | 'suspend'; until: number }

/** The leases of this node: renewed by turns, re-asserted after a doubt, parted with when their peers go. */
export class Leases {
  readonly #parts: LeasesParts
  readonly #held = new Map<Peer, Lease>()
  /** One bucket is renewed a beat. */
  readonly #buckets: Set<Peer>[] = Array.from({ length: RENEW_ROUND_BEATS }, () => new Set())
  #turn = 0
  #next = 0
  /** Partings that the registry has not taken yet. */
  #parting: Parting[] = []
  /** Partings on their way. */
  readonly #leaving = new Set<Promise<void>>()
  #reasserting: Promise<void> | undefined
  #reassertAgain = false

  constructor(parts: LeasesParts) {
    this.#parts = parts
  }

  get count(): number {
    return this.#held.size
  }

  hold(lease: Lease): void {
    if (!this.#held.has(lease.peer)) {
      this.#buckets[this.#next]?.add(lease.peer)
      this.#next = (this.#next + 1) % this.#buckets.length
    }
    this.#held.set(lease.peer, lease)
  }

  /** Gives the lease up; an outage does not lose the parting, it is tried again each beat. */
  async part(lease: Lease, how: 'release' | 'suspend'): Promise<void> {
    this.#drop(lease)
    const until = this.#parts.clock.monotonic() + this.#parts.nameTtlMs
    const leaving = this.#tryParting({ lease, how, until })
    this.#leaving.add(leaving)
    await leaving.finally(() => this.#leaving.delete(leaving))
  }

  /** Resolves when every parting that is on its way has been answered. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#leaving)
  }

  /** Forgets a lease that is another's, or nobody's, already. */
  forget(lease: Lease): void {
    this.#drop(lease)
  }

  /** One beat's share: renews a bucket, and tries again to part. */
  async renewTurn(): Promise<void> {
    await this.#retryPartings()
    const bucket = this.#buckets[this.#turn]
    this.#turn = (this.#turn + 1) % this.#buckets.length
    const leases = [...(bucket ?? [])]
      .map((peer) => this.#held.get(peer))
      .filter((lease) => lease !== undefined)
    if (leases.length === 0) return
    const lost = await this.#parts.registry.renew(leases)
    let doubt = false
    for (const one of lost) {
      if (one.reason === 'absent') doubt = true
      else this.#lose(one)
    }
    if (doubt) await this.reassertAll()
  }

  /** Writes every lease back [I10]. Calls that overlap become one more round. */
  reassertAll(): Promise<void> {
    if (this.#reasserting) {
      this.#reassertAgain = true
      return this.#reasserting
    }
    const round = async (): Promise<void> => {
      do {
        this.#reassertAgain = false
        await this.#reassert([...this.#held.values()])
      } while (this.#reassertAgain)
    }
    this.#reasserting = round().finally(() => {
      this.#reasserting = undefined
    })
    return this.#reasserting
  }

  /** Moves every lease to this process's new NodeId; names that others took meanwhile are lost [I10]. */
  async move(to: NodeId, from: NodeId): Promise<Lease[]> {
    const moved: Lease[] = []
    for (const lease of this.#held.values()) moved.push({ ...lease, node: to })
    for (const lease of moved) this.#held.set(lease.peer, lease)
    this.#parting = this.#parting.filter((parting) => parting.lease.node === to)
    await this.#reassert(moved, from)
    return moved.filter((lease) => this.#held.get(lease.peer) === lease)
  }

  async #reassert(leases: Lease[], formerNode?: NodeId): Promise<void> {
    for (let from = 0; from < leases.length; from += REASSERT_BATCH) {
      if (from > 0) await this.#pause(Math.random() * REASSERT_JITTER_MS)
      const batch = leases
        .slice(from, from + REASSERT_BATCH)
        .filter((lease) => this.#held.get(lease.peer) === lease)
      const { lost, evicted }: Reasserted = await this.#parts.registry.reassert(batch, formerNode)
      for (const one of lost) this.#lose(one)
      for (const lease of evicted) this.#parts.evicted(lease)
    }
  }

  #lose(lost: Lost): void {
    if (this.#held.get(lost.lease.peer) !== lost.lease) return
    this.#drop(lost.lease)
    this.#parts.lost(lost)
  }

  #drop(lease: Lease): void {
    if (this.#held.get(lease.peer)?.epoch !== lease.epoch) return
    this.#held.delete(lease.peer)
    for (const bucket of this.#buckets) if (bucket.delete(lease.peer)) break
  }

  async #tryParting(parting: Parting): Promise<void> {
    const { registry, graceMs, clock, onError } = this.#parts
    try {
      if (parting.how === 'release') await registry.release(parting.lease)
      else await registry.suspend(parting.lease, graceMs)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      onError(error, { stage: parting.how })
      // Past the TTL the lease has ended by itself.
      if (clock.monotonic() < parting.until) this.#parting.push(parting)
    }
  }

  async #retryPartings(): Promise<void> {
    const waiting = this.#parting
    this.#parting = []
    await Promise.all(waiting.map((parting) => this.#tryParting(parting)))
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer: Timer = this.#parts.clock.after(ms, () => {
        timer.cancel()
        resolve()
      })
    })
  }
}
