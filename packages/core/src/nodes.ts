import type { NodeId } from '@peerage/protocol'
import type { Times } from './times.js'

export type NodeStatus =
  | { state: 'live' }
  /** `deadForMs`: registry time since its lease ended, as of the last beat plus the time passed here. */
  | { state: 'dead'; deadForMs: number }
  /** Never seen, or dead for so long that no lease of its names can be left. */
  | { state: 'unknown' }

/**
 * Who is alive: a view that is at most one beat old. Contract (testing/nodes-contract.ts):
 * - a beat extends this node's lease by `nodeLeaseMs`, counted by the registry's clock;
 * - a node whose lease has ended is not revived: `lapsed`, and the process takes a new NodeId;
 * - the dead stay visible until no lease of theirs can be left;
 * - after a flush, a node within its lease is written back by its next beat.
 */
export interface Nodes {
  /** Rejects with RegistryUnavailable when the registry does not answer. */
  beat(): Promise<'alive' | 'lapsed'>
  status(node: NodeId): NodeStatus
  /** All that the last beat saw. */
  list(): { node: NodeId; status: NodeStatus }[]
  /** This node's lease ends now, and its grace with it: no one waits for what it did not release. Names that are
   *  away keep their own grace: their holders were told to move. */
  leave(): Promise<void>
}

/** How long the dead stay visible: until every lease that their last breath may have renewed has ended. */
export function deadRetentionMs(times: Times): number {
  return times.nodeLeaseMs + times.nameTtlMs + times.graceMs
}
