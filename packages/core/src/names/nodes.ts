import type { NodeId } from '@peerage/protocol'
import type { Times } from '../times.js'

export type NodeStatus =
  | { state: 'live' }
  /**
   * `deadForMs`: how long ago its lease ended, in ms of registry time. It is the value at the last beat plus the time that
   * has passed on this machine since then.
   */
  | { state: 'dead'; deadForMs: number }
  /** Never seen, or dead for so long that no lease of its names can remain. */
  | { state: 'unknown' }

/** What this node last saw of the cluster. All times are the registry's, in milliseconds. */
export interface NodesView {
  /** The registry's clock now: its time at the last read plus the time that has passed on this machine since then. */
  now: number
  /** When the set of nodes was created, or 0 if it was not. If this changes, the registry was emptied in between. */
  createdAt: number
  nodes: ReadonlyMap<NodeId, NodeSeen>
}

export interface NodeSeen {
  /** When the node's lease ends, or ended. */
  end: number
  /** The node's last beat at which all its names were in the registry, or 0 if there was none. */
  settledAt: number
}

/**
 * Which nodes are alive: a view that is at most one beat old. Contract (testing/contracts/nodes-contract.ts):
 * - a beat extends this node's lease to `nodeLeaseMs` from now, by the registry's clock;
 * - a beat cannot revive a lease that has ended: it answers `lapsed`, and the process takes a new NodeId;
 * - dead nodes stay visible until none of their leases can remain (`deadRetentionMs`);
 * - after a flush, the next beat of a node within its lease writes it back;
 * - an announcement belongs to one NodeId. It is written at once and after each successful beat, so a flush loses it
 *   for at most one beat. It ends `nodeLeaseMs` after the last write, or when the node leaves.
 */
export interface Nodes {
  /**
   * Renews this node's lease and reads the view. `settled`: every name of this node is in the registry. Rejects with
   * RegistryUnavailable when the store does not answer.
   */
  beat(settled?: boolean): Promise<'alive' | 'lapsed'>
  /** Reads the view without a beat. Rejects as `beat` does. */
  refresh(): Promise<void>
  view(): NodesView
  /**
   * The number that the next epoch must exceed, whatever the registry has forgotten: the greatest epoch or registry
   * time that this node has seen, advanced by this machine's monotonic clock [I2].
   */
  presented(): number
  status(node: NodeId): NodeStatus
  /** All nodes in the view. */
  list(): { node: NodeId; status: NodeStatus }[]
  /**
   * Publishes `text` to the other nodes, in place of this node's previous announcement. The store does not interpret it.
   * From now on each successful beat writes the text again. The beat does not wait for the answer, and a failure goes to
   * `onError` with the stage `announce`. `identify` forgets the text, so a new identity must announce again. Rejects with
   * RegistryUnavailable if the store does not answer, but the next beat still writes the text. Rejects with TypeError if
   * `text` has more than 1,024 bytes of UTF-8.
   */
  announce(text: string): Promise<void>
  /**
   * Reads the announcement of `node` from the store. Undefined if there is none. Rejects with RegistryUnavailable if the
   * store does not answer.
   */
  announced(node: NodeId): Promise<string | undefined>
  /**
   * Ends this node's lease without a grace: its names that are still online become free. Names that are away keep their
   * own grace, because their holders were told to move. Removes this node's announcement. Rejects with
   * RegistryUnavailable if the store does not answer.
   */
  leave(): Promise<void>
}

/** Enough for an address and a proof. Each node reads the announcements of all others. */
const ANNOUNCEMENT_MOST_BYTES = 1024

/** Throws TypeError when `text` is too long to announce. */
export function checkAnnouncement(text: string): void {
  const bytes = Buffer.byteLength(text)
  if (bytes > ANNOUNCEMENT_MOST_BYTES)
    throw new TypeError(
      `a node may announce at most ${ANNOUNCEMENT_MOST_BYTES} bytes, but this text has ${bytes}`,
    )
}

/**
 * How long dead nodes stay visible, in milliseconds: until every lease that their last beat may have renewed has
 * ended.
 */
export function deadRetentionMs(times: Times): number {
  return times.nodeLeaseMs + times.nameTtlMs + times.graceMs
}
