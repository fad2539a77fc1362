import type { NodeId } from '@peerage/protocol'
import type { Bus } from './routing/bus.js'
import type { Directory } from './names/directory.js'
import type { Mailbox } from './routing/mailbox.js'
import type { Nodes } from './names/nodes.js'
import type { Presence } from './presence/presence.js'
import type { Registry } from './names/registry.js'
import type { RoomRegistry } from './rooms/registry.js'

/** What went wrong in the background, and where. Nothing is dropped without one of these. */
export type OnError = (error: unknown, context: { stage: string; [detail: string]: unknown }) => void

export type BackendEvent =
  /** A connection was rebuilt or data may be gone: re-assert every lease, drop every cached route.
   *  `names`: names may be gone, and an absent name may be one of them. */
  | { type: 'doubt'; why: string; names: boolean }
  /** Readiness changed; `why` names the reason in words for an operator. */
  | { type: 'health'; healthy: boolean; why: string }

/** One store for a cluster: all that nodes share. Made by memory/ (one process) or by @peerage/redis. */
export interface Backend {
  readonly registry: Registry
  readonly nodes: Nodes
  readonly bus: Bus
  readonly mailbox: Mailbox
  readonly presence: Presence
  readonly directory: Directory
  readonly rooms: RoomRegistry
  /** The identity under which it beats, claims and listens; set again after a lapse. */
  identify(node: NodeId): void
  /** Connects; rejects only for what no retry can mend (too old a server). An absent store is retried. */
  start(onEvent: (event: BackendEvent) => void): Promise<void>
  stop(): Promise<void>
}
