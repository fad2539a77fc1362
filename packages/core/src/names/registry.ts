import { hash, randomBytes } from 'node:crypto'
import type { ConnectionId, Name, NodeId, Peer } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'

/** The record that a peer holds a name. It is immutable: each change makes a new lease. */
export interface Lease {
  peer: Peer
  node: NodeId
  connection: ConnectionId
  /**
   * Registry time (ms) of this holder's first claim. It stays the same through reclaims and moves, so it identifies
   * the holder.
   */
  since: number
  /** Strictly increases with each claim of a name [I2], so it identifies the claim. */
  epoch: number
  state: 'online' | 'away'
  /** 128 bits of SHA-256 over the reclaim secret, in base64url (22 characters). */
  secretHash: string
  /**
   * The registry time (ms) that decides between two leases of one name: the older rank wins [I10]. If it is absent, it
   * equals `since`. A `replace` claim takes over the rank of the holder that it replaces, so that this holder cannot come
   * back. If a holder had reclaimed its name before it released it, another node may still know an earlier lease of that
   * holder. So the next claim of the name takes over that rank, too.
   */
  rank?: number
}

export interface Owner {
  node: NodeId
  connection: ConnectionId
}

export interface ClaimOptions {
  secretHash: string
  /**
   * What to do when the name is taken: `refuse` the claim, or `replace` the holder. `replace` is only for an
   * authenticated identity [I9].
   */
  policy: 'refuse' | 'replace'
  /**
   * The new epoch must exceed this number: `Nodes.presented()`. The registry uses at most its own time + 1 minute
   * [I2].
   */
  presented?: number
  /**
   * What to do with a name that the registry does not know: `take` it (default), or `leave` it because other nodes may
   * not have written their names back yet (see `Settling`) [I10].
   */
  absent?: 'take' | 'leave'
}

export type Claimed =
  /** `replaced` is the lease that the new one replaced. The caller must close its connection with `superseded`. */
  | { ok: true; lease: Lease; replaced?: Lease }
  | { ok: false; holder: Lease }
  /**
   * The registry knows no holder, but it may have forgotten one. Only with `absent: 'leave'`, or when the store has
   * noticed a loss. Temporary: try again.
   */
  | { ok: false; holder: undefined }

/** A lease that this node no longer holds. `absent`: nobody holds the name. `another`: `holder` holds it now. */
export type Lost = { lease: Lease; reason: 'absent' } | { lease: Lease; reason: 'another'; holder: Lease }

/**
 * The result of writing leases back. `lost`: leases that this node no longer holds. `evicted`: leases of other claims
 * that lost against ours. If a lost lease and its `holder` are the same claim, only `since` differs, because the registry
 * knows an earlier claim of the same peer.
 */
export interface Reasserted {
  lost: Lost[]
  evicted: Lease[]
}

/**
 * The global name registry. Contract for every implementation (testing/contracts/registry-contract.ts):
 * - each method is atomic per name; nothing is atomic across names;
 * - a lease expires `nameTtlMs` after its last claim, renewal or re-assertion, unless it ends earlier;
 * - every change compares (epoch, node, connection), so a late call about a former lease changes nothing [I3, I4];
 * - all times are milliseconds of the registry's own clock;
 * - during an outage a method rejects with `RegistryUnavailable` within `commandMs`. The registry may still have carried
 *   the command out. Expected outcomes are return values.
 */
export interface Registry {
  /**
   * Takes the name, or returns its holder. A claim with the holder's own secret hash always wins [I8]. A name whose
   * node has been dead for longer than the grace is free [I6].
   */
  claim(peer: Peer, owner: Owner, options: ClaimOptions): Promise<Claimed>
  /**
   * Extends each online lease to `nameTtlMs` from now. An away name keeps its own end. Returns the leases that are
   * lost.
   */
  renew(leases: readonly Lease[]): Promise<Lost[]>
  /**
   * Writes each lease back unchanged if the name is absent. Against another claim the older rank wins, then the
   * higher epoch [I10, I11]. Against a claim with the same secret hash the higher epoch wins, and keeps the older
   * `since`.
   */
  reassert(leases: readonly Lease[], options?: ReassertOptions): Promise<Reasserted>
  /** Call it when the holder's socket was lost. The name is then away, and reserved for its holder for `graceMs`. */
  suspend(lease: Lease, graceMs: number): Promise<void>
  /**
   * Frees the name at once. Does nothing if the name has another lease by now. After a release, no lease of an earlier
   * epoch can be written back.
   */
  release(lease: Lease): Promise<void>
  /** The current lease, online or away. Its node may be dead, so `presenceOf` decides which presence peers see. */
  lookup(peer: Peer): Promise<Lease | undefined>
  /** In how many milliseconds the grace of an away name ends. 0: it has ended. Only for a name that is away. */
  graceEndsIn(peer: Peer): Promise<number>
}

export interface ReassertOptions {
  /**
   * The NodeId of this node before its lease lapsed. If it is set, the node takes back only names that are absent or
   * still held by `formerNode`.
   */
  formerNode?: NodeId
  /** How long away names stay reserved, in milliseconds. Default: the whole grace. */
  graceMs?: number
}

/**
 * How far a presented epoch may be ahead of the registry's clock [I2], so that no node can push epochs out of reach.
 */
export const PRESENTED_AHEAD_MOST_MS = 60_000

/**
 * Whether both are leases of one claim, whatever their state and `since`. This is what renew, suspend and release
 * compare [I3, I4].
 */
export function isSameLease(a: Lease, b: Lease): boolean {
  return a.epoch === b.epoch && a.node === b.node && a.connection === b.connection
}

/** Whether this lease is the holder's first claim, and not a reclaim. */
export function isNew(lease: Lease): boolean {
  return lease.since === lease.epoch
}

/** Which of two leases of one name wins. A total order, so that the order of arrival does not matter [I11]. */
export function winsOver(a: Lease, b: Lease): boolean {
  const [rankA, rankB] = [rankOf(a), rankOf(b)]
  if (rankA !== rankB) return rankA < rankB
  if (a.epoch !== b.epoch) return a.epoch > b.epoch
  if (a.node !== b.node) return a.node < b.node
  return a.connection < b.connection
}

/**
 * Whether `lease` took over the rank of a lease that had ended, and `other` had ended, too. Both may belong to one peer
 * that left and claimed again, but they are different holders.
 */
export function cameAfter(lease: Lease, other: Lease): boolean {
  return lease.secretHash === other.secretHash && rankOf(lease) < lease.since && other.epoch < lease.since
}

export function rankOf(lease: Lease): number {
  return lease.rank ?? lease.since
}

/** The lease with this rank. The field is left out where it equals `since`. */
export function ranked(lease: Lease, rank: number): Lease {
  const { rank: _, ...rest } = lease
  return rank === lease.since ? rest : { ...rest, rank }
}

/** 128 bits of SHA-256 over peer and secret, in base64url. The registry stores nothing else of a secret [I8]. */
export function hashSecret(peer: Peer, secret: string): string {
  return hash('sha256', `${peer}\0${secret}`, 'buffer').subarray(0, 16).toString('base64url')
}

/** A name that nobody can guess: 128 random bits. */
export function mintName(): Name {
  const minted = parseName(randomBytes(16).toString('base64url'))
  if (!minted.ok) throw new Error(minted.problem)
  return minted.value
}

/**
 * The registry did not answer in time, or refused for a reason of its own (loading, read-only, out of memory).
 * Temporary.
 */
export class RegistryUnavailable extends Error {
  override readonly name = 'RegistryUnavailable'
}
