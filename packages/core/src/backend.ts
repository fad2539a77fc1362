import type { NodeId } from '@peerage/protocol'
import type { Bus } from './routing/bus.js'
import type { Mailbox } from './routing/mailbox.js'
import type { NameIndex } from './names/name-index.js'
import type { Nodes } from './names/nodes.js'
import type { Presence } from './presence/presence.js'
import type { Answers, Records } from './records.js'
import type { Registry } from './names/registry.js'
import type { PoolRegistry } from './pools/registry.js'
import type { RoomRegistry } from './rooms/registry.js'
import type { SeatRegistry } from './rooms/seat-registry.js'

/**
 * Receives every failure in the background. `stage` names the operation that failed. No failure is dropped silently.
 */
export type OnError = (error: unknown, context: { stage: string; [detail: string]: unknown }) => void

export type BackendEvent =
  /**
   * Data may be lost, because a connection to the store was rebuilt or the store was emptied. The node writes every
   * lease back and drops every cached route. `names` is true if names may be lost. Then, until all nodes have written
   * their names back, a name that the registry does not know may still have a holder.
   */
  | { type: 'doubt'; why: string; names: boolean }
  /** Readiness changed. `why` gives the operator the reason in words. */
  | { type: 'health'; healthy: boolean; why: string }

/**
 * One node's access to the store that all nodes of a cluster share. `memoryCluster` (one process) and
 * `@peerage/redis` implement it. To write another store, implement these eleven interfaces and run the contract suites
 * in packages/core/src/testing/contracts over them.
 */
export interface Backend {
  readonly registry: Registry
  readonly nodes: Nodes
  readonly bus: Bus
  readonly mailbox: Mailbox
  readonly presence: Presence
  readonly index: NameIndex
  readonly records: Records
  readonly answers: Answers
  readonly rooms: RoomRegistry
  readonly seats: SeatRegistry
  readonly pools: PoolRegistry
  /**
   * Sets the NodeId under which this node beats, claims and listens. The node calls it before `start`, and again with
   * a new NodeId after its lease has lapsed.
   */
  identify(node: NodeId): void
  /**
   * Connects. Rejects only when no retry can help, for example when the server is too old. If the store cannot be
   * reached, it resolves, reports `health` events, and retries in the background.
   */
  start(onEvent: (event: BackendEvent) => void): Promise<void>
  /** Closes all connections. Failures of commands that are still pending are not reported. */
  stop(): Promise<void>
}
