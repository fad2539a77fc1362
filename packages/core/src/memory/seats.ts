import type { Name, NodeId, RoomId } from '@peerage/protocol'
import type { Seat, SeatLoss, SeatRegistry, SeatState } from '../rooms/seat-registry.js'
import type { SeatEntry, Store } from './store.js'

type Seated = Map<Name, SeatEntry>

const keyOf = (room: RoomId, seats: number): string => `${seats} ${room}`

/** The groups of one process that have not met. */
export class MemorySeats implements SeatRegistry {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async seat(
    room: RoomId,
    { name, node, seats, ttlMs, fresh, dead }: Seat & { fresh: string; dead: readonly NodeId[] },
  ): Promise<string> {
    const seated = this.#seated(room, seats, dead)
    const group = seated.get(name)?.group ?? fullest(seated, seats) ?? fresh
    seated.set(name, { group, node, isConfirmed: false, expiresAt: this.#store.now() + ttlMs })
    this.#write(room, seats, seated)
    return group
  }

  async keep(
    room: RoomId,
    { name, node, seats, ttlMs, group, loss }: Seat & { group: string; loss: SeatLoss },
  ): Promise<SeatState> {
    const seated = this.#seated(room, seats)
    const known = seated.get(name)?.group
    const count = membersOf(seated, group).length
    if (known === undefined && count === seats) return 'taken'
    const isWrittenBack = loss === 'group' || (loss === 'seat' && count > 0)
    if (known === undefined ? !isWrittenBack : known !== group) return 'gone'
    seated.set(name, { group, node, isConfirmed: true, expiresAt: this.#store.now() + ttlMs })
    const members = membersOf(seated, group)
    const hasMet = members.length === seats && members.every(([, { isConfirmed }]) => isConfirmed)
    if (hasMet) for (const [member] of members) seated.delete(member)
    this.#write(room, seats, seated)
    return hasMet ? 'met' : 'waiting'
  }

  async unseat(room: RoomId, { name, seats }: Pick<Seat, 'name' | 'seats'>): Promise<void> {
    const seated = this.#seated(room, seats)
    seated.delete(name)
    this.#write(room, seats, seated)
  }

  /** The seats that have not ended. Forgets the others. */
  #seated(room: RoomId, seats: number, dead: readonly NodeId[] = []): Seated {
    this.#store.open()
    const seated = this.#store.seats.get(keyOf(room, seats)) ?? new Map<Name, SeatEntry>()
    const now = this.#store.now()
    for (const [name, { expiresAt, node }] of seated)
      if (expiresAt <= now || dead.includes(node)) seated.delete(name)
    this.#write(room, seats, seated)
    return seated
  }

  #write(room: RoomId, seats: number, seated: Seated): void {
    if (seated.size === 0) this.#store.seats.delete(keyOf(room, seats))
    else this.#store.seats.set(keyOf(room, seats), seated)
  }
}

function membersOf(seated: Seated, group: string): [Name, SeatEntry][] {
  return [...seated].filter(([, entry]) => entry.group === group)
}

/** The group with the fewest free seats, of those that have one. */
function fullest(seated: Seated, seats: number): string | undefined {
  const counts = new Map<string, number>()
  for (const { group } of seated.values()) counts.set(group, (counts.get(group) ?? 0) + 1)
  const [first] = [...counts].filter(([, count]) => count < seats).toSorted(([, a], [, b]) => b - a)
  return first?.[0]
}
