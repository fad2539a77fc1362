import type { ConnectionId, Name, Room, RoomId } from '@peerage/protocol'
import { appOf, limits, nameOf, peerOf, roomIdOf, roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { Nodes } from '../names/nodes.js'
import type { Pulse } from '../names/pulse.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { OnlineSession, Sessions } from '../sessions/sessions.js'
import { RENEW_ROUND_BEATS } from '../times.js'
import { Changes } from './changes.js'
import type { MemberState } from './channel.js'
import { encodeChange, encodeSaid, originOf, readTold } from './channel.js'
import type { Page } from './lists.js'
import { Lists } from './lists.js'
import type { Entry } from './local-room.js'
import { LocalRoom } from './local-room.js'
import type { Member, Membership, RoomRegistry } from './registry.js'

export interface RoomsOptions {
  pulse: Pick<Pulse, 'id' | 'recovering'>
  registry: RoomRegistry
  sessions: Sessions
  clock: Clock
  nameTtlMs: number
  graceMs: number
  nodes: Pick<Nodes, 'status'>
  onError: OnError
}

/** `parted`: it left the room, or its connection ended, before the join was through. */
export type JoinOutcome = 'joined' | 'known' | 'too-many' | 'parted'

/** A membership that is over and still stands in the registry, until then. */
type Owed = { id: RoomId; connection: ConnectionId; member: Member; until: number }

/**
 * The rooms in which this node has members: who joins, parts, and is kept. What is said goes over the room's channel,
 * also to members of this node: one path, and one order. At most once. So are changes of members; the list in the
 * registry is the truth, and is looked at by turns: what nobody told is told then [I15].
 */
export class Rooms {
  readonly #options: RoomsOptions
  readonly #rooms = new Map<RoomId, LocalRoom>()
  readonly #byConnection = new Map<ConnectionId, Set<RoomId>>()
  readonly #lists: Lists
  readonly #changes: Changes
  #turn = 0
  /** Memberships that were parted with while the registry was away: they are ended when it is back. */
  readonly #owed = new Map<string, Owed>()
  /** Rooms whose lists are to be read. */
  readonly #toLook = new Set<RoomId>()
  #looking = false

  constructor(options: RoomsOptions) {
    this.#options = options
    this.#changes = new Changes(options)
    this.#lists = new Lists({
      ...options,
      listed: (id, members) => this.#rooms.get(id)?.roster.listed(members),
    })
  }

  get count(): number {
    return this.#rooms.size
  }

  /**
   * Resolves when the peer hears what is said from now on. Rejects with RegistryUnavailable, and who was not in before
   * is then not in. A part may come meanwhile: then that is what holds.
   */
  async join(session: OnlineSession, name: Room): Promise<JoinOutcome> {
    const id = idOf(session, name)
    const { connection } = session
    const rooms = this.#byConnection.get(connection.id) ?? new Set()
    if (!rooms.has(id) && rooms.size >= limits.rooms) return 'too-many'
    const room = this.#room(id)
    const known = room.entries.get(connection.id)
    const entry: Entry = known ?? { member: memberOf(session), joining: 0, joined: false, ended: 'no' }
    room.entries.set(connection.id, entry)
    this.#byConnection.set(connection.id, rooms.add(id))
    entry.joining++
    try {
      await room.standing
      return await this.#enter(id, connection.id, entry)
    } catch (error) {
      // A channel that nobody wanted any more did not come to stand: that says nothing about the registry.
      if (error instanceof RegistryUnavailable && hasEnded(entry)) return 'parted'
      throw error
    } finally {
      entry.joining--
      if (entry.joining === 0 && !entry.joined && !hasEnded(entry)) this.#drop(connection.id, id, 'left')
    }
  }

  async #enter(id: RoomId, connection: ConnectionId, entry: Entry): Promise<JoinOutcome> {
    const { registry, nameTtlMs } = this.#options
    if (hasEnded(entry)) return 'parted'
    const { member } = entry
    this.#owed.delete(owedKey(id, member))
    const outcome = await registry.join(id, this.#membership(member), nameTtlMs, limits.membersPerRoom)
    if (outcome === 'full') return 'too-many'
    entry.joined = true
    if (!hasEnded(entry)) {
      // One that is known was away perhaps: the others hear that it is back.
      await this.#tell(id, connection, 'joined', member)
      return outcome
    }
    // Unless it has joined anew since then, the membership that was just made ends.
    if (!this.#rooms.get(id)?.entries.has(connection)) await this.#end(id, connection, entry)
    return 'parted'
  }

  #room(id: RoomId): LocalRoom {
    const known = this.#rooms.get(id)
    if (known) return known
    const standing = this.#options.registry.subscribe(id, (text) => this.#receive(id, text))
    const room = new LocalRoom(id, standing, { ...this.#options, changes: this.#changes })
    this.#rooms.set(id, room)
    return room
  }

  #receive(id: RoomId, text: string): void {
    const told = readTold(text)
    if (told === undefined) this.#options.onError(new Error('not what a room tells'), { stage: 'room' })
    else this.#rooms.get(id)?.hear(told)
  }

  /** False: it was not in the room. */
  async part(session: OnlineSession, name: Room): Promise<boolean> {
    const id = idOf(session, name)
    const entry = this.#drop(session.connection.id, id, 'left')
    if (entry === undefined) return false
    await this.#end(id, session.connection.id, entry)
    return true
  }

  /** A socket has ended: its memberships end now, or wait with its name. */
  async forget(connection: ConnectionId, how: 'left' | 'dropped'): Promise<void> {
    const rooms = [...(this.#byConnection.get(connection) ?? [])]
    const entries = rooms.map((id) => [id, this.#drop(connection, id, how)] as const)
    for (const [id, entry] of entries) if (entry) await this.#end(id, connection, entry)
  }

  #drop(connection: ConnectionId, id: RoomId, how: 'left' | 'dropped'): Entry | undefined {
    const rooms = this.#byConnection.get(connection)
    rooms?.delete(id)
    if (rooms?.size === 0) this.#byConnection.delete(connection)
    const room = this.#rooms.get(id)
    const entry = room?.entries.get(connection)
    if (room === undefined || entry === undefined) return undefined
    entry.ended = how
    this.#changes.forget(connection, roomOf(id))
    room.entries.delete(connection)
    if (room.entries.size > 0) return entry
    this.#rooms.delete(id)
    this.#options.registry.unsubscribe(id)
    return entry
  }

  /** Ends a membership, or has it wait with its name. One that is not made yet has nothing to wait for. */
  async #end(id: RoomId, connection: ConnectionId, { member, joined, ended }: Entry): Promise<void> {
    const { registry, clock, graceMs, nameTtlMs, pulse } = this.#options
    if (ended === 'left') {
      this.#owed.set(owedKey(id, member), { id, connection, member, until: clock.monotonic() + nameTtlMs })
      await this.#inTheBackground('leave a room', () => this.#part(id, connection, member))
    } else if (joined && !this.#isBack(id, member))
      await this.#inTheBackground('away from a room', async () => {
        const isAway = await registry.away(id, member, pulse.id, graceMs)
        if (isAway) await this.#tell(id, connection, 'away', member)
      })
  }

  /** Its peer has come over another connection, and joined, before this node learnt that the former one had ended. */
  #isBack(id: RoomId, { name, since }: Member): boolean {
    const session = this.#options.sessions.online(peerOf(appOf(id), name))
    if (session?.lease.since !== since) return false
    return this.#rooms.get(id)?.entries.has(session.connection.id) === true
  }

  async #part(id: RoomId, connection: ConnectionId, member: Member): Promise<void> {
    const was = await this.#options.registry.part(id, member)
    this.#owed.delete(owedKey(id, member))
    if (was) await this.#tell(id, connection, 'left', member)
  }

  // The membership ends by itself when this fails, and nobody waits for an answer.
  async #inTheBackground(stage: string, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#options.onError(error, { stage })
    }
  }

  has(session: OnlineSession, name: Room): boolean {
    return this.#byConnection.get(session.connection.id)?.has(idOf(session, name)) ?? false
  }

  /** A page of members, read after this call. */
  list(session: OnlineSession, name: Room, after?: Name): Promise<Page> {
    return this.#lists.page(idOf(session, name), after)
  }

  /** How many members hear what is said; see `LocalRoom.reach`. */
  reach(session: OnlineSession, name: Room): number | Promise<number> {
    return this.#rooms.get(idOf(session, name))?.reach() ?? 0
  }

  /** To every other member: `frame` is encoded once, for all of them. */
  say(session: OnlineSession, name: Room, frame: string): Promise<'sent' | 'unavailable'> {
    const origin = this.#origin(session.connection.id)
    return this.#options.registry.publish(idOf(session, name), encodeSaid(origin, frame))
  }

  async #tell(id: RoomId, connection: ConnectionId, state: MemberState, member: Member): Promise<void> {
    await this.#options.registry.publish(id, encodeChange(this.#origin(connection), state, member))
  }

  #origin(connection: ConnectionId): string {
    return originOf(this.#options.pulse.id, connection)
  }

  /** One beat's share of the rooms: their members of this node are prolonged, or written back; then all are looked at. */
  async renewTurn(): Promise<void> {
    const turn = this.#turn
    this.#turn = (this.#turn + 1) % RENEW_ROUND_BEATS
    for (const [i, room] of [...this.#rooms.values()].entries()) {
      if (i % RENEW_ROUND_BEATS !== turn) continue
      await this.#keep(room)
      this.#toLook.add(room.id)
    }
    // No beat waits for it.
    void this.#lookOn()
  }

  /** The registry may have lost everything: all memberships of this node are written back. */
  async keepAll(): Promise<void> {
    for (const room of this.#rooms.values()) await this.#keep(room)
  }

  async #keep({ id, entries }: LocalRoom): Promise<void> {
    const { registry, nameTtlMs } = this.#options
    const joined = [...entries.values()].filter((entry) => entry.joined)
    const memberships = joined.map(({ member }) => this.#membership(member))
    await registry.keep(id, memberships, nameTtlMs)
  }

  #membership(member: Member): Membership {
    return { ...member, node: this.#options.pulse.id, state: 'online' }
  }

  /** First what is owed, then one list after the other. What fails is done in a later turn. */
  async #lookOn(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      await this.#partOwed()
      for (const id of this.#toLook) {
        this.#toLook.delete(id)
        await this.#look(id)
      }
    } catch (error) {
      this.#options.onError(error, { stage: 'room list' })
    } finally {
      this.#looking = false
    }
  }

  async #partOwed(): Promise<void> {
    const now = this.#options.clock.monotonic()
    for (const [key, { id, connection, member, until }] of this.#owed)
      if (until <= now) this.#owed.delete(key)
      else await this.#part(id, connection, member)
  }

  async #look(id: RoomId): Promise<void> {
    const room = this.#rooms.get(id)
    if (room === undefined || this.#options.pulse.recovering) return
    const changes = await room.roster.look(() => this.#lists.all(id))
    if (this.#rooms.get(id) === room) for (const change of changes) room.change(change)
  }
}

function idOf({ peer }: OnlineSession, room: Room): RoomId {
  return roomIdOf(appOf(peer), room)
}

function owedKey(id: RoomId, { name, since }: Member): string {
  return `${id} ${since} ${name}`
}

function hasEnded(entry: Entry): boolean {
  return entry.ended !== 'no'
}

function memberOf(session: OnlineSession): Member {
  return { name: nameOf(session.peer), since: session.lease.since }
}
