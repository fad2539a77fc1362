import type { NodeId, RoomId } from '@peerage/protocol'
import type { Seat, SeatRegistry } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import type { Keys } from './keys.js'
import { keepSeatScript, seatScript, unseatScript } from './scripts/seats.js'

export interface RedisSeatsOptions {
  commands: Commands
  keys: Keys
}

/** The groups of a room that wait for members: two sorted sets and a hash for each size of group. */
export class RedisSeats implements SeatRegistry {
  readonly #options: RedisSeatsOptions

  constructor(options: RedisSeatsOptions) {
    this.#options = options
  }

  async seat(
    room: RoomId,
    { name, node, seats, ttlMs, fresh, dead }: Seat & { fresh: string; dead: readonly NodeId[] },
  ): Promise<{ group: string; isFull: boolean }> {
    const { commands, keys } = this.#options
    const args = [name, node, seats, ttlMs, fresh, ...dead]
    const [group, full] = readStrings(await commands.script(seatScript, keys.seats(room, seats), args))
    if (group === undefined)
      throw new RegistryUnavailable('Redis gave an answer that none of our scripts gives: no group')
    return { group, isFull: full === '1' }
  }

  async keep(
    room: RoomId,
    { name, node, seats, ttlMs, group, isLost }: Seat & { group: string; isLost: boolean },
  ): Promise<'waiting' | 'over'> {
    const { commands, keys } = this.#options
    const args = [name, node, seats, ttlMs, group, isLost ? '1' : '0']
    const [waits] = readStrings(await commands.script(keepSeatScript, keys.seats(room, seats), args))
    return waits === '1' ? 'waiting' : 'over'
  }

  async unseat(room: RoomId, { name, seats }: Pick<Seat, 'name' | 'seats'>): Promise<void> {
    const { commands, keys } = this.#options
    await commands.script(unseatScript, keys.seats(room, seats), [name])
  }
}
