import type { Name, NodeId, RoomId } from '@peerage/protocol'
import type { Member, Membership, RoomRegistry } from '../rooms/registry.js'
import type { RoomEntry, Store } from './store.js'

const keyOf = ({ name, since }: Member): string => `${name} ${since}`
const byBytes = (a: Member, b: Member): number =>
  Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)) || a.since - b.since

/** The rooms of one process. */
export class MemoryRooms implements RoomRegistry {
  readonly #store: Store
  readonly #subscribed = new Map<RoomId, (text: string) => void>()

  constructor(store: Store) {
    this.#store = store
  }

  async join(
    room: RoomId,
    member: Membership,
    ttlMs: number,
    most: number,
  ): Promise<'joined' | 'known' | 'full'> {
    const members = this.#members(room)
    const known = members.has(keyOf(member))
    if (!known && members.size >= most) return 'full'
    this.#put(room, member, ttlMs)
    return known ? 'known' : 'joined'
  }

  async part(room: RoomId, member: Member): Promise<boolean> {
    const members = this.#members(room)
    const was = members.delete(keyOf(member))
    if (members.size === 0) this.#store.rooms.delete(room)
    return was
  }

  async keep(room: RoomId, members: readonly Membership[], ttlMs: number): Promise<void> {
    this.#store.open()
    for (const member of members) this.#put(room, member, ttlMs)
  }

  async away(room: RoomId, member: Member, node: NodeId, ttlMs: number): Promise<boolean> {
    const known = this.#members(room).get(keyOf(member))
    if (known?.member.node !== node) return false
    this.#put(room, { ...known.member, state: 'away' }, ttlMs)
    return true
  }

  async list(
    room: RoomId,
    after: Name | undefined,
    most: number,
  ): Promise<{ members: Membership[]; more: boolean }> {
    const all = [...this.#members(room).values()].map(({ member }) => member).toSorted(byBytes)
    const from =
      after === undefined
        ? all
        : all.filter(({ name }) => Buffer.compare(Buffer.from(name), Buffer.from(after)) > 0)
    return { members: from.slice(0, most), more: from.length > most }
  }

  async endsIn(room: RoomId, members: readonly Member[]): Promise<number[]> {
    const known = this.#members(room)
    const now = this.#store.now()
    return members.map((member) => (known.get(keyOf(member))?.expiresAt ?? now) - now)
  }

  async size(room: RoomId): Promise<number> {
    return this.#members(room).size
  }

  async subscribe(room: RoomId, receive: (text: string) => void): Promise<void> {
    this.#store.open()
    this.unsubscribe(room)
    this.#subscribed.set(room, receive)
    const listeners = this.#store.listeners.get(room) ?? new Set()
    this.#store.listeners.set(room, listeners.add(receive))
  }

  unsubscribe(room: RoomId): void {
    const receive = this.#subscribed.get(room)
    if (receive === undefined) return
    this.#subscribed.delete(room)
    const listeners = this.#store.listeners.get(room)
    listeners?.delete(receive)
    if (listeners?.size === 0) this.#store.listeners.delete(room)
  }

  async publish(room: RoomId, text: string): Promise<'sent' | 'unavailable'> {
    if (this.#store.down) return 'unavailable'
    for (const receive of this.#store.listeners.get(room) ?? []) queueMicrotask(() => receive(text))
    return 'sent'
  }

  close(): void {
    for (const room of this.#subscribed.keys()) this.unsubscribe(room)
  }

  #put(room: RoomId, member: Membership, ttlMs: number): void {
    const members = this.#store.rooms.get(room) ?? new Map<string, RoomEntry>()
    this.#store.rooms.set(room, members.set(keyOf(member), { member, expiresAt: this.#store.now() + ttlMs }))
  }

  /** The members whose time has not ended. Deletes the room if there are none. */
  #members(room: RoomId): Map<string, RoomEntry> {
    this.#store.open()
    const members = this.#store.rooms.get(room) ?? new Map<string, RoomEntry>()
    const now = this.#store.now()
    for (const [key, { expiresAt }] of members) if (expiresAt <= now) members.delete(key)
    if (members.size === 0) this.#store.rooms.delete(room)
    return members
  }
}
