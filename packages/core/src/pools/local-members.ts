import type { ConnectionId, RoomId } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import { memberLimits } from '../limits.js'
import type { Drawn } from './registry.js'

/** A membership of a connection of this node. */
export interface LocalMember {
  readonly pool: RoomId
  readonly id: string
  readonly connection: ConnectionId
  /** It stays until the membership ends. */
  marked: boolean
  /** When it began on this node (monotonic ms). */
  readonly beganAt: number
  /** See `KeptMember`. */
  since: number
  /** The id has had another connection, on another node, since then (registry's ms). It is there, if it is later. */
  movedAt: number
  /** When it ends (monotonic ms). The registry ends it a moment earlier. */
  endsAt: number
}

/** A membership takes 300 to 500 bytes. */
const MEMBERSHIPS_PER_NODE = 200_000
/** How many memberships one sweep looks at. A sweep a beat sees all of them within 40 seconds. */
const SWEPT_PER_TURN = 10_000

/** The memberships of this node's connections: one connection for each id in a pool, the last one that entered. */
export class LocalMembers {
  readonly #clock: Clock
  readonly #byPool = new Map<RoomId, Map<string, LocalMember>>()
  /** Most connections have one membership. A set takes as much memory as the membership itself. */
  readonly #byConnection = new Map<ConnectionId, LocalMember | Set<LocalMember>>()
  #count = 0
  #sweeping: IterableIterator<LocalMember | Set<LocalMember>> | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get count(): number {
    return this.#count
  }

  /** The membership, if it has neither ended nor moved to another node. */
  get(pool: RoomId, id: string): LocalMember | undefined {
    const found = this.#byPool.get(pool)?.get(id)
    return found !== undefined && isHere(found, this.#clock.monotonic()) ? found : undefined
  }

  /** The id has another connection, on another node. */
  moved(pool: RoomId, id: string, connection: ConnectionId, since: number): void {
    const found = this.#byPool.get(pool)?.get(id)
    if (found?.connection === connection && found.movedAt < since) found.movedAt = since
  }

  /** Adds or renews a membership. Undefined: the connection has too many, in this pool or in all, or the node has. */
  enter({
    pool,
    id,
    connection,
    marked,
    ttlMs,
  }: Pick<LocalMember, 'pool' | 'id' | 'connection' | 'marked'> & { ttlMs: number }):
    | LocalMember
    | undefined {
    const now = this.#clock.monotonic()
    const endsAt = now + ttlMs
    const known = this.#current(pool, id, now)
    const isMarked = marked || (known !== undefined && known.marked && isHere(known, now))
    if (known?.connection === connection) {
      known.marked = isMarked
      known.endsAt = endsAt
      return known
    }
    if (!this.#hasRoom(connection, pool, now)) return undefined
    if (known !== undefined) this.delete(known)
    const made: LocalMember = {
      pool,
      id,
      connection,
      marked: isMarked,
      beganAt: now,
      since: 0,
      movedAt: 0,
      endsAt,
    }
    const members = this.#byPool.get(pool)
    if (members === undefined) this.#byPool.set(pool, new Map([[id, made]]))
    else members.set(id, made)
    const own = this.#byConnection.get(connection)
    if (own === undefined) this.#byConnection.set(connection, made)
    else if (own instanceof Set) own.add(made)
    else this.#byConnection.set(connection, new Set([own, made]))
    this.#count++
    return made
  }

  /** The registry has the membership now. */
  entered(member: LocalMember, { since, marked }: Pick<Drawn, 'since' | 'marked'>, ttlMs: number): void {
    member.since = since
    // The member may have got its mark on another node. A later `enter` may have set it here meanwhile.
    if (marked) member.marked = true
    // From the answer on, so that it does not end before the registry's own.
    member.endsAt = this.#clock.monotonic() + ttlMs
  }

  delete(member: LocalMember): void {
    const { pool, id, connection } = member
    const members = this.#byPool.get(pool)
    if (members?.get(id) !== member) return
    members.delete(id)
    if (members.size === 0) this.#byPool.delete(pool)
    const own = this.#byConnection.get(connection)
    if (own instanceof Set) own.delete(member)
    if (own === member || (own instanceof Set && own.size === 0)) this.#byConnection.delete(connection)
    this.#count--
  }

  /** Removes all memberships of a connection, and returns them. */
  forget(connection: ConnectionId): LocalMember[] {
    const own = [...this.#of(connection)]
    for (const member of own) this.delete(member)
    return own
  }

  /** The memberships of each pool that have neither ended nor moved. */
  *byPool(): IterableIterator<[RoomId, LocalMember[]]> {
    const now = this.#clock.monotonic()
    for (const [pool, members] of this.#byPool) {
      const current = [...members.values()].filter((member) => isHere(member, now))
      if (current.length > 0) yield [pool, current]
    }
  }

  /** How long it has been there, in milliseconds. */
  ageOf({ beganAt }: LocalMember): number {
    return this.#clock.monotonic() - beganAt
  }

  endsIn({ endsAt }: LocalMember): number {
    return Math.max(1, Math.ceil(endsAt - this.#clock.monotonic()))
  }

  /** Forgets memberships that have ended, a share in each call. */
  sweep(): void {
    this.#sweeping ??= this.#byConnection.values()
    for (let seen = 0; seen < SWEPT_PER_TURN;) {
      const next = this.#sweeping.next()
      if (next.done) {
        this.#sweeping = undefined
        return
      }
      const own = next.value instanceof Set ? next.value : [next.value]
      seen += own instanceof Set ? own.size : 1
      this.#forgetEnded(own)
    }
  }

  /** The membership, if it has not ended. */
  #current(pool: RoomId, id: string, now: number): LocalMember | undefined {
    const found = this.#byPool.get(pool)?.get(id)
    if (found === undefined || found.endsAt > now) return found
    this.delete(found)
    return undefined
  }

  #hasRoom(connection: ConnectionId, pool: RoomId, now: number): boolean {
    if (this.#count >= MEMBERSHIPS_PER_NODE) return false
    const own = this.#byConnection.get(connection)
    if (!(own instanceof Set)) return true
    if (own.size >= memberLimits.pools) this.#forgetEnded(own)
    if (own.size >= memberLimits.pools) return false
    // Also those that have moved: they may come back. Draws would otherwise find hardly any other connection.
    let same = 0
    for (const member of own) if (member.pool === pool && member.endsAt > now) same++
    return same < memberLimits.membershipsPerPool
  }

  #of(connection: ConnectionId): Iterable<LocalMember> {
    const own = this.#byConnection.get(connection)
    return own === undefined ? [] : own instanceof Set ? own : [own]
  }

  #forgetEnded(members: Iterable<LocalMember>): void {
    const now = this.#clock.monotonic()
    for (const member of members) if (member.endsAt <= now) this.delete(member)
  }
}

function isHere({ endsAt, since, movedAt }: LocalMember, now: number): boolean {
  return endsAt > now && movedAt <= since
}
