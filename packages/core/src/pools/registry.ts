import type { ConnectionId, NodeId, RoomId } from '@peerage/protocol'

/** A member of a pool and the connection where it is. */
export interface PoolMember {
  /** 1 to 128 printable ASCII characters without spaces. It is unique in its pool, and no peer's name. */
  id: string
  node: NodeId
  connection: ConnectionId
  /**
   * A mark of the wire's own, for example that the member has the whole file. Members with it are counted apart. A member
   * that has it keeps it until its membership ends.
   */
  marked: boolean
}

/** A membership that its node writes back. */
export interface KeptMember extends PoolMember {
  /** When this connection first entered with the id (registry's ms). 0: it does not know whether it has entered. */
  since: number
  /** In how many milliseconds the membership ends. */
  ttlMs: number
}

/** How many members a pool has, and how many of them are marked. */
export interface PoolSize {
  members: number
  marked: number
}

/** The answer to `enter`. */
export interface Drawn {
  /** Other members. */
  drawn: PoolMember[]
  size: PoolSize
  /** When this connection first entered with this id (registry's ms). */
  since: number
  /** Whether the member has the mark, from this `enter` or from an earlier one. */
  marked: boolean
  /** Where the member was before, if this connection took the id over. */
  former?: Pick<PoolMember, 'node' | 'connection'>
}

/**
 * Pools: rooms whose members nobody lists. A member finds a few others at random. Contract
 * (testing/contracts/pools-contract.ts):
 * - each method is atomic for one pool; `keep` may write its members in several steps;
 * - a membership ends when its member leaves, or `ttlMs` after it last entered or was kept. A pool without members leaves
 *   nothing behind [I16];
 * - the last connection that enters with an id has it: a former one can neither end nor renew that membership;
 * - a mark stays until the membership ends, also when the member moves to another connection;
 * - times are milliseconds of the registry's own clock;
 * - in an outage every method rejects with RegistryUnavailable, within `commandMs`.
 */
export interface PoolRegistry {
  /**
   * Adds or renews a member, or moves it to this connection. Answers with up to `draw` other members, drawn at random
   * without repeats, and with the size of the pool, the member included. `since` grows each time that the id moves. With
   * `most` members it adds none: `full`.
   */
  enter(
    pool: RoomId,
    member: PoolMember,
    options: { ttlMs: number; draw: number; most: number },
  ): Promise<Drawn | 'full'>
  /** Removes the member, if it is still at this connection. Resolves with whether it was, and the size after that. */
  leave(pool: RoomId, member: Omit<PoolMember, 'marked'>): Promise<{ left: boolean; size: PoolSize }>
  /**
   * Writes memberships back that the registry has lost, or has under a former NodeId. A member that has moved to another
   * connection since `since` is left alone.
   */
  keep(pool: RoomId, members: readonly KeptMember[]): Promise<void>
  find(pool: RoomId, id: string): Promise<PoolMember | undefined>
  /** The sizes of these pools, in the same order. */
  sizes(pools: readonly RoomId[]): Promise<PoolSize[]>
}
