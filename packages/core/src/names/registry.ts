import { hash, randomBytes } from 'node:crypto'
import type { ConnectionId, Name, NodeId, Peer } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'

/** Who holds a name. Immutable: each change is a new lease. */
export interface Lease {
  peer: Peer
  node: NodeId
  connection: ConnectionId
  /** Registry time (ms) of the first claim; the same through reclaims and moves: says *who*. */
  since: number
  /** Grows with each claim: says *which claim*. Strictly increases for a name [I2]. */
  epoch: number
  state: 'online' | 'away'
  /** 128 bits of SHA-256 over the reclaim secret, in base64url (22 characters). */
  secretHash: string
  /**
   * The registry time by which this lease is weighed against another of the same name: the older one wins [I10].
   * A `replace` claim takes over the rank of the holder that it pushed out, so that this holder loses for good. So does
   * a claim of a name whose holder left it on another node than it came to first: a node may still know it there.
   * Absent: `since`.
   */
  rank?: number
}

export interface Owner {
  node: NodeId
  connection: ConnectionId
}

export interface ClaimOptions {
  secretHash: string
  /** `refuse` a taken name (default), or `replace` its holder: only for an authenticated identity [I9]. */
  policy: 'refuse' | 'replace'
  /** What the new epoch must exceed, as far as this node knows: `Nodes.presented()`. Bounded by registry time + 1 minute [I2]. */
  presented?: number
  /**
   * A name that the registry does not know is taken (default), or left alone while nodes may have yet to write their
   * names back: see `Settling` [I10].
   */
  absent?: 'take' | 'leave'
}

export type Claimed =
  /** `replaced`: the lease that this one took over, whose holder must be told `superseded`. */
  | { ok: true; lease: Lease; replaced?: Lease }
  | { ok: false; holder: Lease }
  /** Nobody holds the name as far as the registry knows, but the registry may have forgotten its holder. */
  | { ok: false; holder: undefined }

/** A lease that is not ours any more. `absent`: nobody's; `another`: `holder` has the name now. */
export type Lost = { lease: Lease; reason: 'absent' } | { lease: Lease; reason: 'another'; holder: Lease }

/**
 * How a lease came back: unchanged, or lost to `holder`. `evicted`: the other claim that lost against ours.
 * A `holder` with the claim of the lease has an older `since`: the same peer, known by its earlier claim.
 */
export interface Reasserted {
  lost: Lost[]
  evicted: Lease[]
}

/**
 * The global name registry. Contract, for every implementation (testing/contracts/registry-contract.ts):
 * - each method is atomic per name; nothing is promised across names;
 * - a lease expires `nameTtlMs` after its last claim, renewal or re-assertion, if nothing ends it before;
 * - every change compares (epoch, node, connection): a late call of a former holder changes nothing [I3, I4];
 * - an outage rejects with `RegistryUnavailable` within the command deadline; expected outcomes are values.
 */
export interface Registry {
  /** Takes the name, or says who holds it. The same secret takes it back at once [I8]. A name whose holder's
   *  node has been dead for longer than the grace is free [I6]. */
  claim(peer: Peer, owner: Owner, options: ClaimOptions): Promise<Claimed>
  /** Extends each lease by the TTL. */
  renew(leases: readonly Lease[]): Promise<Lost[]>
  /** Writes each lease back unchanged where the name is absent. Against another claim the older rank wins, then the
   *  higher epoch [I10, I11]. Against a claim with the same secret the higher epoch wins, and keeps the older `since`. */
  reassert(leases: readonly Lease[], options?: ReassertOptions): Promise<Reasserted>
  /** The socket dropped: the name is away and waits `graceMs` for its holder. */
  suspend(lease: Lease, graceMs: number): Promise<void>
  /** Frees the name at once; no-op unless it is still this lease. No lease of an earlier epoch is written back from then on. */
  release(lease: Lease): Promise<void>
  lookup(peer: Peer): Promise<Lease | undefined>
}

export interface ReassertOptions {
  /** This node lapsed, and was this one before: only names that are absent or still `formerNode`'s are taken back. */
  formerNode?: NodeId
  /** How long names that are away still wait for their holders. Default: the whole grace. */
  graceMs?: number
}

/** How far a presented epoch may be ahead of the registry's clock [I2]: no node can push epochs out of reach. */
export const PRESENTED_AHEAD_MOST_MS = 60_000

/** One claim's leases, whatever their state and `since`: what renew, suspend and release compare [I3, I4]. */
export function isSameLease(a: Lease, b: Lease): boolean {
  return a.epoch === b.epoch && a.node === b.node && a.connection === b.connection
}

/** Nobody had the name before: no earlier claim of the same holder waits to be taken up again. */
export function isNew(lease: Lease): boolean {
  return lease.since === lease.epoch
}

/** Which of two leases of one name wins: a total order, so that the order of arrival does not matter [I11]. */
export function winsOver(a: Lease, b: Lease): boolean {
  const [rankA, rankB] = [rankOf(a), rankOf(b)]
  if (rankA !== rankB) return rankA < rankB
  if (a.epoch !== b.epoch) return a.epoch > b.epoch
  if (a.node !== b.node) return a.node < b.node
  return a.connection < b.connection
}

/**
 * Whether a lease took its rank over from one that had ended, as `other` has: of the same peer perhaps, which left and
 * came again, but not the same holder.
 */
export function cameAfter(lease: Lease, other: Lease): boolean {
  return lease.secretHash === other.secretHash && rankOf(lease) < lease.since && other.epoch < lease.since
}

export function rankOf(lease: Lease): number {
  return lease.rank ?? lease.since
}

/** The lease with a rank, which is left out where `since` says it. */
export function ranked(lease: Lease, rank: number): Lease {
  const { rank: _, ...rest } = lease
  return rank === lease.since ? rest : { ...rest, rank }
}

/** 128 bits of SHA-256 over peer and secret, in base64url: all that the registry stores of a secret [I8]. */
export function hashSecret(peer: Peer, secret: string): string {
  return hash('sha256', `${peer}\0${secret}`, 'buffer').subarray(0, 16).toString('base64url')
}

/** A name that nobody can guess: 128 random bits. */
export function mintName(): Name {
  const minted = parseName(randomBytes(16).toString('base64url'))
  if (!minted.ok) throw new Error(minted.problem)
  return minted.value
}

/** The registry did not answer in time, or refused for a reason of its own (loading, read-only, out of memory). */
export class RegistryUnavailable extends Error {
  override readonly name = 'RegistryUnavailable'
}
