import type { ConnectionId, Name, Room } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { MemberChange, RoomChange, Sessions } from '../sessions/sessions.js'
import { SlowReaders } from '../sessions/slow-readers.js'

export interface ChangesOptions {
  sessions: Sessions
  clock: Clock
}

/** A slow connection may miss the changes of this many members. Above that the node closes it, and it must reconnect. */
const MISSED_MOST = limits.membersPerRoom
/** The same limit for all connections of this node together. They take some 20 MB. */
const MISSED_OF_ALL_MOST = 20 * limits.membersPerRoom

/** What a connection missed in one room: the latest change of each member. */
type Missed = Map<Name, MemberChange>

/**
 * Tells connections about changes in their rooms. A connection that reads too slowly is told later, and gets only the
 * latest change of each member.
 */
export class Changes {
  readonly #options: ChangesOptions
  readonly #slow: SlowReaders
  readonly #missed = new Map<ConnectionId, Map<Room, Missed>>()
  /** How many changes wait, over all connections. */
  #count = 0

  constructor(options: ChangesOptions) {
    this.#options = options
    this.#slow = new SlowReaders({ ...options, catchUp: (connection) => this.#catchUp(connection) })
  }

  tell(connection: ConnectionId, change: RoomChange): void {
    const hasMissed = this.#missed.get(connection)?.has(change.room) === true
    if (hasMissed || !this.#send(connection, change)) this.#keep(connection, change)
  }

  /** The connection is no longer in the room. */
  forget(connection: ConnectionId, room: Room): void {
    const rooms = this.#missed.get(connection)
    this.#count -= rooms?.get(room)?.size ?? 0
    rooms?.delete(room)
    if (rooms?.size === 0) this.#missed.delete(connection)
  }

  /** Returns false if the connection reads too slowly. One that is closed already needs nothing. */
  #send(connection: ConnectionId, change: RoomChange): boolean {
    const session = this.#options.sessions.get(connection)
    if (session?.state !== 'online' || !session.connection.isOpen) return true
    return session.connection.send(change)
  }

  #keep(connection: ConnectionId, { room, members }: RoomChange): void {
    const rooms = this.#missed.get(connection) ?? new Map<Room, Missed>()
    const missed: Missed = rooms.get(room) ?? new Map()
    this.#missed.set(connection, rooms.set(room, missed))
    for (const member of members) {
      // A change of a former holder says nothing about the current one.
      const known = missed.get(member.name)
      if (known === undefined) this.#count++
      if (known === undefined || known.since <= member.since) missed.set(member.name, member)
    }
    this.#slow.add(connection)
    const own = [...rooms.values()].reduce((sum, { size }) => sum + size, 0)
    if (own <= MISSED_MOST && this.#count <= MISSED_OF_ALL_MOST) return
    this.#count -= own
    this.#missed.delete(connection)
    // The end of the socket then suspends the name.
    this.#options.sessions.get(connection)?.connection.close('slow-consumer')
  }

  #catchUp(connection: ConnectionId): boolean {
    for (const [room, missed] of this.#missed.get(connection) ?? []) {
      for (const change of pages(room, [...missed.values()])) {
        if (!this.#send(connection, change)) return false
        for (const { name } of change.members) if (missed.delete(name)) this.#count--
      }
      this.forget(connection, room)
    }
    return true
  }
}

/** Splits the changes into frames of at most one page. */
export function* pages(room: Room, members: readonly MemberChange[]): Generator<RoomChange> {
  for (let from = 0; from < members.length; from += limits.membersPerPage)
    yield { type: 'changed', room, members: members.slice(from, from + limits.membersPerPage) }
}
