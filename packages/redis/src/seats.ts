import type { NodeId, RoomId } from '@peerage/protocol'
import type { Seat, SeatLoss, SeatRegistry, SeatState } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import type { Keys } from './keys.js'
import { keepSeatScript, seatScript, unseatScript } from './scripts/seats.js'

const STATES: readonly SeatState[] = ['waiting', 'met', 'taken', 'gone']

export interface RedisSeatsOptions {
  commands: Commands
  keys: Keys
}

/** The groups of a room that have not met: two sorted sets and a hash for each size of group. */
export class RedisSeats implements SeatRegistry {
  readonly #options: RedisSeatsOptions

  constructor(options: RedisSeatsOptions) {
    this.#options = options
  }

  async seat(
    room: RoomId,
    { name, node, seats, ttlMs, fresh, dead }: Seat & { fresh: string; dead: readonly NodeId[] },
  ): Promise<string> {
    const { commands, keys } = this.#options
    const args = [name, node, ttlMs, fresh, ...dead]
    const [group] = readStrings(await commands.script(seatScript, keys.seats(room, seats), args))
    if (group === undefined)
      throw new RegistryUnavailable('Redis gave an answer that none of our scripts gives: no group')
    return group
  }

  async keep(
    room: RoomId,
    { name, node, seats, ttlMs, group, loss }: Seat & { group: string; loss: SeatLoss },
  ): Promise<SeatState> {
    const { commands, keys } = this.#options
    const args = [name, node, ttlMs, group, loss]
    const [state] = readStrings(await commands.script(keepSeatScript, keys.seats(room, seats), args))
    return STATES.find((one) => one === state) ?? 'gone'
  }

  async unseat(room: RoomId, { name, seats }: Pick<Seat, 'name' | 'seats'>): Promise<void> {
    const { commands, keys } = this.#options
    await commands.script(unseatScript, keys.seats(room, seats), [name])
  }
}
