import type { Name, NodeId, RoomId } from '@peerage/protocol'

/** A member of a room: a name, and the `since` of its holder. */
export interface Member {
  name: Name
  since: number
}

/** A member, its node, and whether it is connected. With these fields, one command can list a room. */
export interface Membership extends Member {
  node: NodeId
  state: 'online' | 'away'
}

/**
 * The members of each room, and each room's channel. Contract (testing/contracts/rooms-contract.ts):
 * - each method is atomic for one room; `keep` may write its members in several steps;
 * - a membership ends when its member leaves, or `ttlMs` after it was last joined or kept. So the membership of a
 *   killed peer ends by itself, and a room without members leaves nothing behind [I16];
 * - the list is authoritative; published texts arrive at most once;
 * - `publish` reaches every subscribed node, the publisher's own included, in the order of its publishes;
 * - times are milliseconds of the registry's own clock;
 * - in an outage `publish` resolves with `unavailable`, and the others reject with RegistryUnavailable, within
 *   `commandMs`.
 */
export interface RoomRegistry {
  /**
   * Adds or renews a member, and makes it online. `known`: it was a member already. `full`: the room has `most`
   * members, and it was not added.
   */
  join(room: RoomId, member: Membership, ttlMs: number, most: number): Promise<'joined' | 'known' | 'full'>
  /** Removes a member. True: it was in the room. */
  part(room: RoomId, member: Member): Promise<boolean>
  /** Renews memberships, and writes back those that the registry has lost. */
  keep(room: RoomId, members: readonly Membership[], ttlMs: number): Promise<void>
  /**
   * Marks a member as away, because its connection to `node` has ended. Its membership then ends after `ttlMs`. Returns
   * false if the member was not in the room, or is on another node by now.
   */
  away(room: RoomId, member: Member, node: NodeId, ttlMs: number): Promise<boolean>
  /** Up to `most` members whose names come after `after`, in the order of the bytes of their names. */
  list(room: RoomId, after: Name | undefined, most: number): Promise<{ members: Membership[]; more: boolean }>
  /**
   * In how many milliseconds the membership of each member ends if nobody renews it, in the same order. 0: it is not
   * a member.
   */
  endsIn(room: RoomId, members: readonly Member[]): Promise<number[]>
  /** How many members the room has on all nodes. */
  size(room: RoomId): Promise<number>
  /**
   * Subscribes this node to the room's channel. Resolves when the subscription is active: texts that are published
   * from then on arrive.
   */
  subscribe(room: RoomId, receive: (text: string) => void): Promise<void>
  unsubscribe(room: RoomId): void
  publish(room: RoomId, text: string): Promise<'sent' | 'unavailable'>
}
