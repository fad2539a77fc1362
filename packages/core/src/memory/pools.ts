import type { RoomId } from '@peerage/protocol'
import type { Drawn, KeptMember, PoolMember, PoolRegistry, PoolSize } from '../pools/registry.js'
import type { PoolEntry } from './pool.js'
import { MemoryPool } from './pool.js'
import type { Store } from './store.js'

const EMPTY: PoolSize = { members: 0, marked: 0 }

/** The pools of one process. */
export class MemoryPools implements PoolRegistry {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async enter(
    pool: RoomId,
    member: PoolMember,
    { ttlMs, draw, most }: { ttlMs: number; draw: number; most: number },
  ): Promise<Drawn | 'full'> {
    const known = this.#pool(pool)
    const members = known ?? new MemoryPool()
    const entry = members.get(member.id)
    if (entry === undefined && members.size.members >= most) return 'full'
    const now = this.#store.now()
    const since = sinceOf(entry, member, now)
    const { node, connection } = entry?.member ?? member
    members.put(member, since, now + ttlMs)
    const marked = members.get(member.id)?.member.marked ?? false
    if (known === undefined) this.#store.pools.set(pool, members)
    const answer = { drawn: members.draw(draw, member.id), size: members.size, since, marked }
    return isAt(member, { node, connection }) ? answer : { ...answer, former: { node, connection } }
  }

  async leave(pool: RoomId, member: Omit<PoolMember, 'marked'>): Promise<{ left: boolean; size: PoolSize }> {
    const members = this.#pool(pool)
    const entry = members?.get(member.id)
    if (members === undefined || entry === undefined || !isAt(entry.member, member))
      return { left: false, size: members?.size ?? EMPTY }
    members.remove(entry)
    if (members.size.members === 0) this.#store.pools.delete(pool)
    return { left: true, size: members.size }
  }

  async keep(pool: RoomId, members: readonly KeptMember[]): Promise<void> {
    const known = this.#pool(pool) ?? new MemoryPool()
    for (const { since, ttlMs, ...member } of members) {
      const entry = known.get(member.id)
      if (entry === undefined || entry.since <= since) known.put(member, since, this.#store.now() + ttlMs)
    }
    if (known.size.members > 0) this.#store.pools.set(pool, known)
  }

  async find(pool: RoomId, id: string): Promise<PoolMember | undefined> {
    return this.#pool(pool)?.get(id)?.member
  }

  async sizes(pools: readonly RoomId[]): Promise<PoolSize[]> {
    return pools.map((pool) => this.#pool(pool)?.size ?? EMPTY)
  }

  /** The pool without the members whose time has ended, if any other is left. */
  #pool(id: RoomId): MemoryPool | undefined {
    this.#store.open()
    const pool = this.#store.pools.get(id)
    pool?.prune(this.#store.now())
    if (pool?.size.members !== 0) return pool
    this.#store.pools.delete(id)
    return undefined
  }
}

function sinceOf(known: PoolEntry | undefined, member: PoolMember, now: number): number {
  if (known === undefined) return now
  // Whoever takes the id over is later, also in the same millisecond.
  return isAt(known.member, member) ? known.since : Math.max(now, known.since + 1)
}

type Place = Pick<PoolMember, 'node' | 'connection'>

function isAt(place: Place, { node, connection }: Place): boolean {
  return place.node === node && place.connection === connection
}
