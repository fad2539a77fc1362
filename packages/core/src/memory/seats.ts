import type { Name, NodeId, RoomId } from '@peerage/protocol'
import type { Seat, SeatRegistry } from '../rooms/seat-registry.js'
import type { SeatEntry, Store } from './store.js'

type Seated = Map<Name, SeatEntry>

const keyOf = (room: RoomId, seats: number): string => `${seats} ${room}`

/** The groups of one process that wait for members. */
export class MemorySeats implements SeatRegistry {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async seat(
    room: RoomId,
    seat: Seat & { fresh: string; dead: readonly NodeId[] },
  ): Promise<{ group: string; isFull: boolean }> {
    const seated = this.#seated(room, seat.seats, seat.dead)
    const group = seated.get(seat.name)?.group ?? fullest(seated) ?? seat.fresh
    return { group, isFull: this.#sit(seated, room, seat, group) }
  }

  async keep(room: RoomId, seat: Seat & { group: string; isLost: boolean }): Promise<'waiting' | 'over'> {
    const seated = this.#seated(room, seat.seats)
    const known = seated.get(seat.name)?.group
    if (known === undefined ? !seat.isLost : known !== seat.group) return 'over'
    return this.#sit(seated, room, seat, seat.group) ? 'over' : 'waiting'
  }

  async unseat(room: RoomId, { name, seats }: Pick<Seat, 'name' | 'seats'>): Promise<void> {
    const seated = this.#seated(room, seats)
    seated.delete(name)
    if (seated.size === 0) this.#store.seats.delete(keyOf(room, seats))
  }

  /** Returns whether the group is full now. Then it is forgotten. */
  #sit(seated: Seated, room: RoomId, { name, node, seats, ttlMs }: Seat, group: string): boolean {
    seated.set(name, { group, node, expiresAt: this.#store.now() + ttlMs })
    const isFull = countsOf(seated).get(group) === seats
    if (isFull) for (const [other, entry] of seated) if (entry.group === group) seated.delete(other)
    if (seated.size === 0) this.#store.seats.delete(keyOf(room, seats))
    else this.#store.seats.set(keyOf(room, seats), seated)
    return isFull
  }

  /** The seats that have not ended. Forgets the others. */
  #seated(room: RoomId, seats: number, dead: readonly NodeId[] = []): Seated {
    this.#store.open()
    const seated = this.#store.seats.get(keyOf(room, seats)) ?? new Map<Name, SeatEntry>()
    const now = this.#store.now()
    for (const [name, { expiresAt, node }] of seated)
      if (expiresAt <= now || dead.includes(node)) seated.delete(name)
    if (seated.size === 0) this.#store.seats.delete(keyOf(room, seats))
    return seated
  }
}

function countsOf(seated: Seated): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { group } of seated.values()) counts.set(group, (counts.get(group) ?? 0) + 1)
  return counts
}

function fullest(seated: Seated): string | undefined {
  const [first] = [...countsOf(seated)].toSorted(([, a], [, b]) => b - a)
  return first?.[0]
}
