import type { ConnectionId, NodeId, Peer } from '@peerage/protocol'

/** Who holds a name. Immutable: each change is a new lease. */
export interface Lease {
  peer: Peer
  node: NodeId
  connection: ConnectionId
  /** Registry time (ms) of the first claim; stays through reclaims and moves: says *who*. */
  since: number
  /** Grows with each claim: says *which stay*. Strictly increases for a name [I2]. */
  epoch: number
  state: 'online' | 'away'
  /** 128 bits of SHA-256 over the reclaim secret, in base64url (22 characters). */
  secretHash: string
}

export interface Owner {
  node: NodeId
  connection: ConnectionId
}

export interface ClaimOptions {
  secretHash: string
  /** `refuse` a taken name (default), or `replace` its holder: only for an authenticated identity [I9]. */
  policy: 'refuse' | 'replace'
  /** The highest epoch that this node has seen for the name; nodes only, bounded by registry time + 1 minute [I2]. */
  presented?: number
}

export type Claimed =
  /** `replaced`: the lease that this one took over, whose holder must be told `superseded`. */
  { ok: true; lease: Lease; replaced?: Lease } | { ok: false; holder: Lease }

/** A lease that is not ours any more. `absent`: nobody's; `another`: `holder` has the name now. */
export type Lost = { lease: Lease; reason: 'absent' } | { lease: Lease; reason: 'another'; holder: Lease }

/** How a lease came back: unchanged, or lost to `holder`. `evicted`: the other claim that lost against ours. */
export interface Reasserted {
  lost: Lost[]
  evicted: Lease[]
}

/**
 * The global name registry. Contract, for every implementation (testing/registry-contract.ts):
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
  /** Writes each lease back unchanged where the name is absent; against another claim the older `since` wins,
   *  then the higher epoch [I10, I11]. With `formerNode`, this node lapsed: only names that are absent or still
   *  `formerNode`'s are taken back. */
  reassert(leases: readonly Lease[], formerNode?: NodeId): Promise<Reasserted>
  /** The socket dropped: the name is away and waits `graceMs` for its holder. */
  suspend(lease: Lease, graceMs: number): Promise<void>
  /** Frees the name at once; no-op unless it is still this lease. */
  release(lease: Lease): Promise<void>
  lookup(peer: Peer): Promise<Lease | undefined>
}

/** How far a presented epoch may be ahead of the registry's clock [I2]: no node can push epochs out of reach. */
export const PRESENTED_AHEAD_MOST_MS = 60_000

/** The same stay of the same holder: what renew, suspend and release compare [I3, I4]. */
export function isSameStay(a: Lease, b: Lease): boolean {
  return a.epoch === b.epoch && a.node === b.node && a.connection === b.connection
}

/** Which of two leases of one name stays: a total order, so that the order of arrival does not matter [I11]. */
export function winsOver(a: Lease, b: Lease): boolean {
  if (a.since !== b.since) return a.since < b.since
  if (a.epoch !== b.epoch) return a.epoch > b.epoch
  if (a.node !== b.node) return a.node < b.node
  return a.connection < b.connection
}

/** The registry did not answer in time, or refused for a reason of its own (loading, read-only, out of memory). */
export class RegistryUnavailable extends Error {
  override readonly name = 'RegistryUnavailable'
}
