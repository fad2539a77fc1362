import type { Name, NodeId, RoomId } from '@peerage/protocol'

/** A seat that a member of a room asks for, in a group of this size. */
export interface Seat {
  name: Name
  node: NodeId
  /** How many seats a group has: 2 to `memberLimits.seats`. */
  seats: number
  /** How long the seat is kept, unless it is renewed or the group has met. */
  ttlMs: number
}

/**
 * What the registry may have lost. `seat`: a lost seat is written back if its group has a free one. `group`: also if the
 * registry does not know the group.
 */
export type SeatLoss = 'nothing' | 'seat' | 'group'

/**
 * `waiting`: the group has not met yet. `met`: it has. `taken`: other members have all its seats. `gone`: the member has
 * no seat, and the registry knows of no others there.
 */
export type SeatState = 'waiting' | 'met' | 'taken' | 'gone'

/**
 * Groups of a fixed size within a room. A peer takes a seat, joins the room of the group, and then confirms its seat. A
 * group has met when all its seats are taken and confirmed. Contract (testing/contracts/seats-contract.ts):
 * - each method is atomic for one room and size, so a group never gets more members than it has seats;
 * - the registry knows only groups that have not met. A peer that goes before its group has met leaves a free seat, also
 *   in a group that was full;
 * - a seat ends when its member gives it back, or `ttlMs` after it was taken or last renewed. A group without members
 *   leaves nothing behind [I16];
 * - in an outage every method rejects with RegistryUnavailable, within `commandMs`.
 */
export interface SeatRegistry {
  /**
   * Takes a seat in the group that has the fewest free seats, or begins the group `fresh`: 1 to 64 characters of
   * base64url, at random. A member that has a seat gets its own group again. `dead`: the seats of these nodes are free.
   * Resolves with the group.
   */
  seat(room: RoomId, seat: Seat & { fresh: string; dead: readonly NodeId[] }): Promise<string>
  /** Confirms and renews the seat of a member that has joined its group, or writes it back as `loss` says. */
  keep(room: RoomId, seat: Seat & { group: string; loss: SeatLoss }): Promise<SeatState>
  /** Gives a seat back, if its group has not met. */
  unseat(room: RoomId, seat: Pick<Seat, 'name' | 'seats'>): Promise<void>
}
