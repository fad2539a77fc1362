import type { Name, NodeId, RoomId } from '@peerage/protocol'

/** A seat that a member of a room asks for, in a group of this size. */
export interface Seat {
  name: Name
  node: NodeId
  /** How many seats a group has: 2 to `limits.seats`. */
  seats: number
  /** How long the seat is kept while its group is not full. */
  ttlMs: number
}

/**
 * Groups of a fixed size within a room. Members sit down in a group until it is full; the next one begins another group.
 * Contract (testing/contracts/seats-contract.ts):
 * - each method is atomic for one room and size, so a group never gets more members than it has seats;
 * - the registry knows only groups that wait for members. It forgets a group when it is full;
 * - a seat in a waiting group ends when its member gives it back, or `ttlMs` after the seat was last renewed. A group
 *   without members leaves nothing behind [I16];
 * - in an outage every method rejects with RegistryUnavailable, within `commandMs`.
 */
export interface SeatRegistry {
  /**
   * Takes a seat in the waiting group that has the fewest free seats, or begins the group `fresh`: 1 to 64 characters of
   * base64url, at random. A member that has a seat gets its own group again. `dead`: the seats of these nodes are free.
   * Resolves with the group, and whether it is full now.
   */
  seat(
    room: RoomId,
    seat: Seat & { fresh: string; dead: readonly NodeId[] },
  ): Promise<{ group: string; isFull: boolean }>
  /**
   * Renews a seat. `waiting`: the group still waits. `over`: it is full, or unknown. `isLost`: the registry may have lost
   * the group while it waited, so an unknown group is written back.
   */
  keep(room: RoomId, seat: Seat & { group: string; isLost: boolean }): Promise<'waiting' | 'over'>
  /** Gives a seat back, if its group still waits. */
  unseat(room: RoomId, seat: Pick<Seat, 'name' | 'seats'>): Promise<void>
}
