import type { NodeId } from '@peerage/protocol'
import type { Times } from '../times.js'

export type NodeStatus =
  | { state: 'live' }
  /** `deadForMs`: registry time since its lease ended, as of the last beat plus the time passed here. */
  | { state: 'dead'; deadForMs: number }
  /** Never seen, or dead for so long that no lease of its names can be left. */
  | { state: 'unknown' }

/** What a node last saw of the cluster. All times are the registry's, in milliseconds. */
export interface NodesView {
  /** The registry's clock now: at the last look, plus the time that has passed here. */
  now: number
  /** When the set of nodes was made; 0: not yet. Another time than before: the registry was emptied in between. */
  bornAt: number
  nodes: ReadonlyMap<NodeId, NodeSeen>
}

export interface NodeSeen {
  /** When its lease ends, or ended. */
  end: number
  /** Its last beat at which all its names were in the registry; 0: none yet. */
  settledAt: number
}

/**
 * Who is alive: a view that is at most one beat old. Contract (testing/contracts/nodes-contract.ts):
 * - a beat extends this node's lease by `nodeLeaseMs`, counted by the registry's clock;
 * - a node whose lease has ended is not revived: `lapsed`, and the process takes a new NodeId;
 * - the dead stay visible until no lease of theirs can be left;
 * - after a flush, a node within its lease is written back by its next beat.
 */
export interface Nodes {
  /** `settled`: every name of this node is in the registry. Rejects with RegistryUnavailable when it does not answer. */
  beat(settled?: boolean): Promise<'alive' | 'lapsed'>
  /** Looks at the others without a beat. Rejects as `beat` does. */
  refresh(): Promise<void>
  view(): NodesView
  /**
   * What the next epoch must exceed, whatever the registry has forgotten: the greatest of all epochs and registry
   * times that this node has seen, running on with this machine's monotonic clock [I2].
   */
  presented(): number
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
