import type { NodeId } from '@peerage/protocol'

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
  /** Takes this node out of the set: names of a node that left are nobody's grace to wait for. */
  leave(): Promise<void>
}
