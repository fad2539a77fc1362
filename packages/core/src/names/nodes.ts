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
 * - after a flush, a node within its lease is written back by its next beat;
 * - what a node announces belongs to its NodeId: it is written at once and after each beat that succeeds, so that a
 *   flush loses it for one beat at most; it is gone `nodeLeaseMs` after it was last written, or when the node leaves.
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
  /**
   * Lets the other nodes read `text`, in place of what this node announced before. The store does not look into it.
   * From now on each beat that succeeds writes it again, without waiting for the answer: a failure is told to
   * `onError` with the stage `announce`. `identify` forgets the text, so a new identity announces anew.
   * Rejects with RegistryUnavailable when the store does not answer; the next beat writes the text all the same.
   * Rejects with TypeError when `text` has more than 1,024 bytes of UTF-8.
   */
  announce(text: string): Promise<void>
  /** What `node` announces; undefined: nothing. Asks the store. Rejects with RegistryUnavailable when it does not answer. */
  announced(node: NodeId): Promise<string | undefined>
  /** This node's lease ends now, and its grace with it: no one waits for what it did not release. Names that are
   *  away keep their own grace: their holders were told to move. What it announced is removed. */
  leave(): Promise<void>
}

/** Enough for an address and a proof; every node reads it of every other. */
const ANNOUNCEMENT_MOST_BYTES = 1024

/** Throws TypeError when `text` is too long to be announced. */
export function checkAnnouncement(text: string): void {
  const bytes = Buffer.byteLength(text)
  if (bytes > ANNOUNCEMENT_MOST_BYTES)
    throw new TypeError(
      `a node announces at most ${ANNOUNCEMENT_MOST_BYTES} bytes, and this text has ${bytes}`,
    )
}

/** How long the dead stay visible: until every lease that their last breath may have renewed has ended. */
export function deadRetentionMs(times: Times): number {
  return times.nodeLeaseMs + times.nameTtlMs + times.graceMs
}
