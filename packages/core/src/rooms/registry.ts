import type { Name, NodeId, RoomId } from '@peerage/protocol'

/** Who is in a room: a name, and which holder of it. */
export interface Member {
  name: Name
  since: number
}

/** A member, the node that holds it, and whether its connection is there: enough to list a room in one command. */
export interface Membership extends Member {
  node: NodeId
  state: 'online' | 'away'
}

/**
 * Who is in which room, and each room's channel. Contract (testing/contracts/rooms-contract.ts):
 * - a membership ends when it is parted with, or `ttlMs` after it was last joined or kept: a killed peer's ends by
 *   itself, and a room without members leaves nothing behind [I16];
 * - the list is the truth; what is published is at most once;
 * - `publish` reaches every node that is subscribed, the publisher's own included, in the order of its publishes;
 * - an outage rejects with RegistryUnavailable within the command deadline.
 */
export interface RoomRegistry {
  /** `full`: over `most` members, and not joined. */
  join(room: RoomId, member: Membership, ttlMs: number, most: number): Promise<'joined' | 'known' | 'full'>
  /** True: it was in the room. */
  part(room: RoomId, member: Member): Promise<boolean>
  /** Prolongs memberships, and writes back those that the registry has lost. */
  keep(room: RoomId, members: readonly Membership[], ttlMs: number): Promise<void>
  /** A connection to `node` has ended. False: it was not in the room, or another node has it by now. */
  away(room: RoomId, member: Member, node: NodeId, ttlMs: number): Promise<boolean>
  /** Up to `most` members whose names come after `after`, in the order of their names' bytes. */
  list(room: RoomId, after: Name | undefined, most: number): Promise<{ members: Membership[]; more: boolean }>
  /** How many members there are, of all nodes. */
  size(room: RoomId): Promise<number>
  /** Resolves when the subscription stands: what is published from then on arrives. */
  subscribe(room: RoomId, receive: (text: string) => void): Promise<void>
  unsubscribe(room: RoomId): void
  publish(room: RoomId, text: string): Promise<'sent' | 'unavailable'>
}
