import type { NodeId, Peer } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import { Running } from '../lib/running.js'
import type { Indexing } from './indexing.js'
import type { Lease, Lost, Reasserted, ReassertOptions, Registry } from './registry.js'
import { RegistryUnavailable, isSameLease } from './registry.js'
import { RENEW_ROUND_BEATS } from '../times.js'

export interface LeasesOptions {
  registry: Registry
  index: Indexing
  clock: Clock
  graceMs: number
  nameTtlMs: number
  /** This node no longer holds the name. */
  lost: (lost: Lost) => void
  /** The registry knows the same holder by an earlier claim, so the lease has an older `since` now. */
  sinceChanged: (lease: Lease) => void
  /** A claim on another node lost against ours. That node must be told. */
  evicted: (lease: Lease) => void
  onError: OnError
}

/** Leases in one re-assertion. Pauses between them spread the load after a flush of many names [I10]. */
const REASSERT_BATCH = 500
const REASSERT_JITTER_MS = 50
/** After a refused claim, further claims for the same name cause no write for this long. */
const WRITE_BACK_PAUSE_MS = 1_000

/** `from`: the monotonic time at which the peer has gone. */
type PendingEnd = { lease: Lease; how: 'release' | 'suspend'; from: number }

/** A name that is reserved for an absent holder. */
interface Away {
  lease: Lease
  /** Monotonic time at which its grace ends. */
  until: number
}

/**
 * The leases of this node. It renews one share of them each beat, re-asserts all of them when the registry may have
 * lost names, and releases or suspends them when their peers go. It remembers the name of a holder that is away
 * until the grace ends, so that it can write this name back, too. After each change it writes the index.
 */
export class Leases {
  readonly #options: LeasesOptions
  readonly #held = new Map<Peer, Lease>()
  /** In the order in which their graces end. */
  readonly #away = new Map<Peer, Away>()
  /** Each beat renews one bucket. */
  readonly #buckets: Set<Peer>[] = Array.from({ length: RENEW_ROUND_BEATS }, () => new Set())
  /** Held and kept names that are not in the index. */
  readonly #unlisted = new Set<Peer>()
  #turn = 0
  #next = 0
  /** Releases and suspensions that failed and are tried again. */
  #failedEnds: PendingEnd[] = []
  /** Releases and suspensions without an answer yet. */
  readonly #pendingEnds = new Running()
  /** When a lease was last written back because of a refused claim. */
  readonly #kept = new WeakMap<Lease, { at: number; written: Promise<boolean> }>()
  #reasserting: Promise<void> | undefined
  #reassertAgain = false

  constructor(options: LeasesOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#held.size
  }

  /** The lease of a name that this node holds, or keeps for its absent holder. */
  of(peer: Peer): Lease | undefined {
    return this.#held.get(peer) ?? this.#keptFor(peer)?.lease
  }

  /** All leases, and how long the entry of each in the index lasts. */
  *all(): IterableIterator<{ lease: Lease; ttlMs: number }> {
    const { clock, nameTtlMs } = this.#options
    for (const lease of this.#held.values())
      if (!this.#unlisted.has(lease.peer)) yield { lease, ttlMs: nameTtlMs }
    for (const { lease, until } of this.#away.values())
      if (!this.#unlisted.has(lease.peer)) yield { lease, ttlMs: until - clock.monotonic() }
  }

  /** `isListed: false` keeps the name out of the index. */
  hold(lease: Lease, isListed = true): void {
    if (!this.#held.has(lease.peer)) {
      this.#buckets[this.#next]?.add(lease.peer)
      this.#next = (this.#next + 1) % this.#buckets.length
    }
    this.#held.set(lease.peer, lease)
    this.#away.delete(lease.peer)
    if (isListed) this.#unlisted.delete(lease.peer)
    else this.#unlisted.add(lease.peer)
    this.#list(lease)
  }

  /** Releases or suspends the lease. If the registry fails, each beat tries again, and this resolves with false. */
  async releaseOrSuspend(lease: Lease, how: 'release' | 'suspend'): Promise<boolean> {
    const { clock, graceMs } = this.#options
    const isUnlisted = this.#unlisted.has(lease.peer)
    this.#drop(lease)
    if (how === 'suspend' && !this.#held.has(lease.peer)) {
      const away: Lease = { ...lease, state: 'away' }
      this.#away.delete(lease.peer)
      this.#away.set(lease.peer, { lease: away, until: clock.monotonic() + graceMs })
      if (isUnlisted) this.#unlisted.add(lease.peer)
      this.#list(away)
    } else if (how === 'release') this.#options.index.free(lease)
    return this.#pendingEnds.add(this.#tryEnd({ lease, how, from: clock.monotonic() }))
  }

  /** Resolves when every release and suspension has its answer. */
  settled(): Promise<void> {
    return this.#pendingEnds.settled()
  }

  /** Forgets a lease that has already ended in the registry. */
  forget(lease: Lease): void {
    this.#drop(lease)
  }

  /** Once a beat: renews one bucket, and retries failed releases and suspensions. */
  async renewTurn(): Promise<void> {
    this.#forgetAway()
    await this.#retryEnds()
    const bucket = this.#buckets[this.#turn]
    this.#turn = (this.#turn + 1) % this.#buckets.length
    const leases = [...(bucket ?? [])]
      .map((peer) => this.#held.get(peer))
      .filter((lease) => lease !== undefined)
    if (leases.length === 0) return
    const lost = await this.#options.registry.renew(leases)
    const lostLeases = new Set(lost.map(({ lease }) => lease))
    for (const lease of leases) if (!lostLeases.has(lease)) this.#listAgain(lease)
    if (lost.some(({ reason }) => reason === 'absent')) return this.reassertAll()
    // The registry decides whether the other holder keeps the name: it may have claimed while ours was forgotten.
    await this.#reassert(lost.map(({ lease }) => lease))
  }

  /** Writes every lease back [I10]. Calls during a run become one more run. */
  reassertAll(): Promise<void> {
    if (this.#reasserting) {
      this.#reassertAgain = true
      return this.#reasserting
    }
    const round = async (): Promise<void> => {
      do {
        this.#reassertAgain = false
        await this.#reassert([...this.#held.values()])
        // After the others, because a peer that drops meanwhile moves to this list.
        await this.#reassert([...this.#away.values()].map(({ lease }) => lease))
      } while (this.#reassertAgain)
    }
    this.#reasserting = round().finally(() => {
      this.#reasserting = undefined
    })
    return this.#reasserting
  }

  /** Writes one lease back now, and says whether it is still ours. Rejects with RegistryUnavailable. */
  async takesBack(lease: Lease): Promise<boolean> {
    await this.#reassert([lease])
    return this.of(lease.peer)?.epoch === lease.epoch
  }

  /**
   * Does the same when a claim of the name is about to be refused. Any peer can make such claims at any rate, so it
   * writes at most once a second.
   */
  async keeps(lease: Lease): Promise<boolean> {
    const now = this.#options.clock.monotonic()
    let kept = this.#kept.get(lease)
    if (kept === undefined || now - kept.at >= WRITE_BACK_PAUSE_MS) {
      kept = { at: now, written: this.takesBack(lease) }
      this.#kept.set(lease, kept)
    }
    try {
      return await kept.written
    } catch (error) {
      this.#kept.delete(lease)
      throw error
    }
  }

  /** Moves every lease to this process's new NodeId. Names that others took meanwhile are lost [I10]. */
  async move(to: NodeId, from: NodeId): Promise<Lease[]> {
    const moved: Lease[] = []
    for (const lease of this.#held.values()) moved.push({ ...lease, node: to })
    for (const lease of moved) this.#held.set(lease.peer, lease)
    for (const away of this.#away.values()) away.lease = { ...away.lease, node: to }
    // A name that could not be suspended moves as online, and must still be suspended. One that could not be released
    // does not move.
    this.#failedEnds = this.#failedEnds.map((end) =>
      end.how === 'suspend' ? { ...end, lease: { ...end.lease, node: to } } : end,
    )
    await this.#reassert([...moved, ...[...this.#away.values()].map(({ lease }) => lease)], from)
    return moved.filter((lease) => this.#held.get(lease.peer) === lease)
  }

  async #reassert(leases: readonly Lease[], formerNode?: NodeId): Promise<void> {
    for (let from = 0; from < leases.length; from += REASSERT_BATCH) {
      if (from > 0) await this.#pause(Math.random() * REASSERT_JITTER_MS)
      const batch = leases.slice(from, from + REASSERT_BATCH).filter((lease) => this.of(lease.peer) === lease)
      const options = formerNode === undefined ? {} : { formerNode }
      const online = batch.filter((lease) => lease.state === 'online')
      const away = batch.filter((lease) => lease.state === 'away')
      await Promise.all([
        this.#reassertNow(online, options),
        ...away.map((lease) => this.#reassertAway(lease, options)),
      ])
    }
  }

  async #reassertAway(lease: Lease, options: ReassertOptions): Promise<void> {
    const kept = this.#keptFor(lease.peer)
    if (kept === undefined) return
    const graceMs = Math.ceil(kept.until - this.#options.clock.monotonic())
    await this.#reassertNow([lease], { ...options, graceMs })
  }

  async #reassertNow(leases: readonly Lease[], options: ReassertOptions): Promise<void> {
    if (leases.length === 0) return
    const { registry } = this.#options
    const { lost, evicted }: Reasserted = await registry.reassert(leases, options)
    for (const lease of evicted) this.#options.evicted(lease)
    const lostLeases = new Set(lost.map(({ lease }) => lease))
    const overs = new Map(evicted.map(({ peer, epoch }) => [peer, epoch]))
    for (const lease of leases) if (!lostLeases.has(lease)) this.#listAgain(lease, overs.get(lease.peer))
    for (const one of lost) {
      if (!isOwnOlderLease(one)) {
        this.#lose(one)
        continue
      }
      await registry.release(one.holder)
      const again = await registry.reassert([one.lease], options)
      for (const other of again.lost) this.#lose(other)
      if (again.lost.length === 0) this.#listAgain(one.lease)
    }
  }

  #lose(lost: Lost): void {
    const { lease } = lost
    if (this.of(lease.peer) !== lease) return
    const isOnline = this.#held.has(lease.peer)
    if (lost.reason === 'another' && isSameLease(lost.holder, lease)) {
      if (isOnline) this.#held.set(lease.peer, lost.holder)
      this.#list(lost.holder)
      if (!isOnline) this.#away.delete(lease.peer)
      if (isOnline) this.#options.sinceChanged(lost.holder)
      return
    }
    this.#drop(lease)
    if (isOnline) this.#options.lost(lost)
  }

  #drop(lease: Lease): void {
    const { peer, epoch } = lease
    if (this.#away.get(peer)?.lease.epoch === epoch) this.#away.delete(peer)
    if (this.#held.get(peer)?.epoch === epoch) {
      this.#held.delete(peer)
      for (const bucket of this.#buckets) if (bucket.delete(peer)) break
    }
    this.#options.index.drop(lease)
    if (!this.#held.has(peer) && !this.#away.has(peer)) this.#unlisted.delete(peer)
  }

  /** Writes the index. An away name is there for its grace. `over`: the epoch of a lease that lost against this one. */
  #list(lease: Lease, over?: number): void {
    const { index, clock, nameTtlMs, graceMs } = this.#options
    if (this.#unlisted.has(lease.peer)) return
    const until = this.#away.get(lease.peer)?.until
    const awayMs = until === undefined ? graceMs : until - clock.monotonic()
    index.put(lease, lease.state === 'online' ? nameTtlMs : awayMs, over)
  }

  /** Writes the entry of a lease again, if it is still ours. */
  #listAgain(lease: Lease, over?: number): void {
    if (this.of(lease.peer) === lease) this.#list(lease, over)
  }

  #keptFor(peer: Peer): Away | undefined {
    const away = this.#away.get(peer)
    return away !== undefined && away.until > this.#options.clock.monotonic() ? away : undefined
  }

  #forgetAway(): void {
    const now = this.#options.clock.monotonic()
    for (const [peer, { until }] of this.#away) {
      if (until > now) return
      this.#away.delete(peer)
      this.#unlisted.delete(peer)
    }
  }

  async #tryEnd(end: PendingEnd): Promise<boolean> {
    const { registry, graceMs, nameTtlMs, clock, onError } = this.#options
    const agoMs = clock.monotonic() - end.from
    try {
      if (end.how === 'release') await registry.release(end.lease)
      else await registry.suspend(end.lease, Math.max(1, Math.ceil(graceMs - agoMs)))
      return true
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      onError(error, { stage: end.how })
      // After the TTL the lease has ended by itself.
      if (agoMs < nameTtlMs) this.#failedEnds.push(end)
      return false
    }
  }

  async #retryEnds(): Promise<void> {
    const waiting = this.#failedEnds
    this.#failedEnds = []
    await Promise.all(waiting.map((end) => this.#tryEnd(end)))
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer: Timer = this.#options.clock.after(ms, () => {
        timer.cancel()
        resolve()
      })
    })
  }
}

/**
 * Whether a lease was lost to an earlier lease of this same node, which now holds only the later one. Then the registry
 * was restored from an old snapshot. (A claim that has no answer yet has a higher epoch.)
 */
function isOwnOlderLease(lost: Lost): lost is Extract<Lost, { reason: 'another' }> {
  return (
    lost.reason === 'another' && lost.holder.node === lost.lease.node && lost.holder.epoch < lost.lease.epoch
  )
}
