import type { ConnectionId, Name, NodeId, Room, RoomId } from '@peerage/protocol'
import { appOf, limits, nameOf, parseName, peerOf, roomIdOf, roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import { SlowReaders } from '../sessions/slow-readers.js'
import type { Clock } from '../lib/clock.js'
import type { OnlineSession, RoomChange, Sessions } from '../sessions/sessions.js'
import type { Member, Membership, RoomRegistry } from './registry.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { Listed } from './roster.js'
import { Roster } from './roster.js'
import { RENEW_ROUND_BEATS } from '../times.js'

export interface RoomsOptions {
  self: () => NodeId
  registry: RoomRegistry
  sessions: Sessions
  clock: Clock
  nameTtlMs: number
  graceMs: number
  isDead: (node: NodeId) => boolean
  /** What the registry says is absent may have yet to be written back. */
  recovering: () => boolean
  onError: OnError
}

/** `parted`: it left the room, or its connection ended, before the join was through. */
export type JoinOutcome = 'joined' | 'known' | 'too-many' | 'parted'

/** A membership that is over and still stands in the registry, until then. */
interface Owed {
  id: RoomId
  connection: ConnectionId
  member: Member
  until: number
}

/** What travels on a room's channel: who said it, which stay must not hear itself, and what to tell. */
interface Told {
  origin: string
  event: { type: 'said'; frame: string } | { type: 'member'; state: MemberState; member: Member }
}

export type MemberState = 'joined' | 'left' | 'away'

/** A connection in a room, from its join until it parts. */
interface Stay {
  readonly member: Member
  /** Joins that are on their way. */
  joining: number
  /** The registry has it. */
  joined: boolean
  ended: 'no' | 'left' | 'dropped'
  /** The latest of each member whose change it did not take, for it reads too slowly. */
  missed?: Map<Name, RoomChange['members'][number]>
}

/** The members of this node in one room. */
interface Gathered {
  readonly connections: Map<ConnectionId, Stay>
  /** Settles when the room's channel is subscribed to. */
  readonly standing: Promise<void>
  /** What these members know of who is in. */
  readonly roster: Roster
  /** Changes that the members of this node are told of together. */
  changes: RoomChange['members']
  /** How many members there are on all nodes, and when that was asked for. */
  size?: { members: number | Promise<number>; askedAt: number }
}

interface Page {
  members: Listed[]
  more: boolean
}

/** A page that is being read, and the reading after it that others wait for. */
interface Reading {
  readonly current: Promise<Page>
  next?: Promise<Page>
}

/** A thousand peers that join at once are a few frames to each member, not a thousand. */
const CHANGES_MS = 50
/** In a room of more than five hundred on this node more of them go together, or who comes and goes costs the most. */
const CHANGES_MS_PER_MEMBER = 0.1
/** What is said in a room is counted by how many hear it, as of so long ago. */
const SIZE_MS = 1_000

/** Of so many members a connection that reads too slowly may have missed changes; with more it must come back. */
const MISSED_MOST = limits.membersPerRoom
/** The same, of all connections of this node: some 20 MB. Who misses more then must come back. */
const MISSED_OF_ALL_MOST = 20 * limits.membersPerRoom

const MARKS: Record<MemberState, string> = { joined: '+', left: '-', away: '~' }
const STATES = new Map<string | undefined, MemberState>([
  ['+', 'joined'],
  ['-', 'left'],
  ['~', 'away'],
])

/**
 * The rooms in which this node has members. What is said goes over the room's channel, also to members of this
 * node: one path, and one order. At most once. So are changes of members; the list in the registry is the truth, and is
 * looked at by turns: what nobody told is told then [I15].
 */
export class Rooms {
  readonly #options: RoomsOptions
  readonly #rooms = new Map<RoomId, Gathered>()
  readonly #byConnection = new Map<ConnectionId, Set<RoomId>>()
  readonly #readings = new Map<string, Reading>()
  readonly #behind: SlowReaders
  #turn = 0
  /** Memberships that were parted with while the registry was away: they are ended when it is back. */
  readonly #owed = new Map<string, Owed>()
  /** Rooms whose lists are to be read. */
  readonly #toLook = new Set<RoomId>()
  #looking = false
  /** Members whose changes wait for connections that read too slowly, over all of them. */
  #missed = 0

  constructor(options: RoomsOptions) {
    this.#options = options
    this.#behind = new SlowReaders({ ...options, catchUp: (connection) => this.#catchUp(connection) })
  }

  /**
   * Resolves when the peer hears what is said from now on. Rejects with RegistryUnavailable, and who was not in before
   * is then not in. A part may come meanwhile: then that is what holds.
   */
  async join(session: OnlineSession, room: Room): Promise<JoinOutcome> {
    const id = roomIdOf(appOf(session.peer), room)
    const { connection } = session
    const rooms = this.#byConnection.get(connection.id) ?? new Set()
    if (!rooms.has(id) && rooms.size >= limits.rooms) return 'too-many'
    const gathered = this.#gather(id)
    const known = gathered.connections.get(connection.id)
    const stay: Stay = known ?? { member: memberOf(session), joining: 0, joined: false, ended: 'no' }
    gathered.connections.set(connection.id, stay)
    this.#byConnection.set(connection.id, rooms.add(id))
    stay.joining++
    try {
      await gathered.standing
      return await this.#enter(id, connection.id, stay)
    } catch (error) {
      // A channel that nobody wanted any more did not come to stand: that says nothing about the registry.
      if (error instanceof RegistryUnavailable && hasEnded(stay)) return 'parted'
      throw error
    } finally {
      stay.joining--
      if (stay.joining === 0 && !stay.joined && !hasEnded(stay)) this.#drop(connection.id, id, 'left')
    }
  }

  async #enter(id: RoomId, connection: ConnectionId, stay: Stay): Promise<JoinOutcome> {
    const { registry, nameTtlMs } = this.#options
    if (hasEnded(stay)) return 'parted'
    const { member } = stay
    this.#owed.delete(owedKey(id, member))
    const outcome = await registry.join(id, this.#membership(member), nameTtlMs, limits.membersPerRoom)
    if (outcome === 'full') return 'too-many'
    stay.joined = true
    if (!hasEnded(stay)) {
      // One that is known was away perhaps: the others hear that it is back.
      await this.#tell(id, connection, 'joined', member)
      return outcome
    }
    // Unless it has joined anew since then, the membership that was just made ends.
    if (!this.#rooms.get(id)?.connections.has(connection)) await this.#end(id, connection, stay)
    return 'parted'
  }

  /** False: it was not in the room. */
  async part(session: OnlineSession, room: Room): Promise<boolean> {
    const id = roomIdOf(appOf(session.peer), room)
    const stay = this.#drop(session.connection.id, id, 'left')
    if (stay === undefined) return false
    await this.#end(id, session.connection.id, stay)
    return true
  }

  /**
   * A page of members, read after this call. A thousand peers that join at once share a few readings: while one is
   * under way, all who ask wait for the one after it.
   */
  list(session: OnlineSession, room: Room, after?: Name): Promise<Page> {
    const id = roomIdOf(appOf(session.peer), room)
    const key = `${id}\n${after ?? ''}`
    const reading = this.#readings.get(key)
    if (reading?.next) return reading.next
    const read = async (): Promise<Page> => {
      const page = await this.#page(id, after)
      this.#rooms.get(id)?.roster.listed(page.members)
      return page
    }
    if (reading) {
      reading.next = reading.current.then(
        () => this.#read(key, read),
        () => this.#read(key, read),
      )
      return reading.next
    }
    return this.#read(key, read)
  }

  #read(key: string, read: () => Promise<Page>): Promise<Page> {
    const current = read()
    const reading: Reading = { current }
    this.#readings.set(key, reading)
    return current.finally(() => {
      if (this.#readings.get(key) === reading && !reading.next) this.#readings.delete(key)
    })
  }

  has(session: OnlineSession, room: Room): boolean {
    return this.#byConnection.get(session.connection.id)?.has(roomIdOf(appOf(session.peer), room)) ?? false
  }

  /**
   * How many members hear what is said. Known at once, but for the first time; then all who ask get their answer in the
   * order in which they asked.
   */
  reach(session: OnlineSession, room: Room): number | Promise<number> {
    const id = roomIdOf(appOf(session.peer), room)
    const gathered = this.#rooms.get(id)
    if (gathered === undefined) return 0
    const now = this.#options.clock.monotonic()
    const { size } = gathered
    if (size !== undefined && now - size.askedAt < SIZE_MS) return size.members
    const asked = this.#options.registry.size(id).then((members) => {
      gathered.size = { members, askedAt: now }
      return members
    })
    gathered.size = { members: size?.members ?? asked, askedAt: now }
    asked.catch((error: unknown) => {
      if (gathered.size?.members === asked) delete gathered.size
      // Who waits for it is told; who goes by the last number is not.
      else this.#options.onError(error, { stage: 'room size' })
    })
    return gathered.size.members
  }

  /** To every other member: `frame` is encoded once, for all of them. */
  say(session: OnlineSession, room: Room, frame: string): Promise<'sent' | 'unavailable'> {
    const id = roomIdOf(appOf(session.peer), room)
    return this.#options.registry.publish(id, `${this.#origin(session.connection.id)} s${frame}`)
  }

  /** A socket has ended: its memberships end now, or wait with its name. */
  async forget(connection: ConnectionId, how: 'left' | 'dropped'): Promise<void> {
    const rooms = [...(this.#byConnection.get(connection) ?? [])]
    const stays = rooms.map((id) => [id, this.#drop(connection, id, how)] as const)
    for (const [id, stay] of stays) if (stay) await this.#end(id, connection, stay)
  }

  /** One beat's share of the rooms: their members of this node are prolonged, or written back; then all are looked at. */
  async renewTurn(): Promise<void> {
    const { registry, nameTtlMs } = this.#options
    const turn = this.#turn
    this.#turn = (this.#turn + 1) % RENEW_ROUND_BEATS
    for (const [i, [id, gathered]] of [...this.#rooms].entries()) {
      if (i % RENEW_ROUND_BEATS !== turn) continue
      await registry.keep(id, this.#memberships(gathered), nameTtlMs)
      this.#toLook.add(id)
    }
    // No beat waits for it.
    void this.#lookOn()
  }

  /** The registry may have lost everything: all memberships of this node are written back. */
  async keepAll(): Promise<void> {
    const { registry, nameTtlMs } = this.#options
    for (const [id, gathered] of this.#rooms) await registry.keep(id, this.#memberships(gathered), nameTtlMs)
  }

  get count(): number {
    return this.#rooms.size
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

  async #look(id: RoomId): Promise<void> {
    const gathered = this.#rooms.get(id)
    if (gathered === undefined || this.#options.recovering()) return
    const changes = await gathered.roster.look(() => this.#all(id))
    if (this.#rooms.get(id) === gathered)
      for (const change of changes) this.#gatherChange(id, gathered, change)
  }

  async #all(id: RoomId): Promise<Listed[]> {
    const all: Listed[] = []
    for (let after: Name | undefined; all.length <= limits.membersPerRoom;) {
      const { members, more } = await this.#page(id, after)
      all.push(...members)
      after = members.at(-1)?.name
      if (!more || after === undefined) break
    }
    return all
  }

  // A member whose node died waits, as its name does, until its membership ends.
  async #page(id: RoomId, after: Name | undefined): Promise<Page> {
    const { members, more } = await this.#options.registry.list(id, after, limits.membersPerPage)
    const listed = members.map(({ name, since, node, state }) => {
      return { name, since, state: this.#options.isDead(node) ? ('away' as const) : state }
    })
    return { members: listed, more }
  }

  #membership(member: Member): Membership {
    return { ...member, node: this.#options.self(), state: 'online' }
  }

  #memberships({ connections }: Gathered): Membership[] {
    return [...connections.values()].flatMap(({ joined, member }) =>
      joined ? [this.#membership(member)] : [],
    )
  }

  #gather(id: RoomId): Gathered {
    const known = this.#rooms.get(id)
    if (known) return known
    const standing = this.#options.registry.subscribe(id, (text) => this.#receive(id, text))
    const gathered: Gathered = { connections: new Map(), standing, roster: new Roster(), changes: [] }
    this.#rooms.set(id, gathered)
    return gathered
  }

  #drop(connection: ConnectionId, id: RoomId, how: 'left' | 'dropped'): Stay | undefined {
    const rooms = this.#byConnection.get(connection)
    rooms?.delete(id)
    if (rooms?.size === 0) this.#byConnection.delete(connection)
    const gathered = this.#rooms.get(id)
    const stay = gathered?.connections.get(connection)
    if (gathered === undefined || stay === undefined) return undefined
    stay.ended = how
    this.#forgetMissed(stay)
    gathered.connections.delete(connection)
    if (gathered.connections.size > 0) return stay
    this.#rooms.delete(id)
    this.#options.registry.unsubscribe(id)
    return stay
  }

  /** Ends a membership, or has it wait with its name. One that is not made yet has nothing to wait for. */
  async #end(id: RoomId, connection: ConnectionId, { member, joined, ended }: Stay): Promise<void> {
    const { registry, graceMs } = this.#options
    if (ended === 'left') {
      const until = this.#options.clock.monotonic() + this.#options.nameTtlMs
      this.#owed.set(owedKey(id, member), { id, connection, member, until })
      await this.#inTheBackground('leave a room', () => this.#part(id, connection, member))
    } else if (joined && !this.#isBack(id, member))
      await this.#inTheBackground('away from a room', async () => {
        const isAway = await registry.away(id, member, this.#options.self(), graceMs)
        if (isAway) await this.#tell(id, connection, 'away', member)
      })
  }

  /** Its peer has come over another connection, and joined, before this node learnt that the former one had ended. */
  #isBack(id: RoomId, { name, since }: Member): boolean {
    const session = this.#options.sessions.online(peerOf(appOf(id), name))
    if (session?.lease.since !== since) return false
    return this.#rooms.get(id)?.connections.has(session.connection.id) === true
  }

  async #part(id: RoomId, connection: ConnectionId, member: Member): Promise<void> {
    const was = await this.#options.registry.part(id, member)
    this.#owed.delete(owedKey(id, member))
    if (was) await this.#tell(id, connection, 'left', member)
  }

  async #partOwed(): Promise<void> {
    const now = this.#options.clock.monotonic()
    for (const [key, { id, connection, member, until }] of this.#owed)
      if (until <= now) this.#owed.delete(key)
      else await this.#part(id, connection, member)
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

  async #tell(id: RoomId, connection: ConnectionId, state: MemberState, member: Member): Promise<void> {
    await this.#options.registry.publish(
      id,
      `${this.#origin(connection)} ${MARKS[state]}${member.since} ${member.name}`,
    )
  }

  #origin(connection: ConnectionId): string {
    return `${this.#options.self()}.${connection}`
  }

  #receive(id: RoomId, text: string): void {
    const gathered = this.#rooms.get(id)
    const told = readTold(text)
    if (told === undefined) {
      this.#options.onError(new Error('not what a room tells'), { stage: 'room' })
      return
    }
    if (gathered === undefined) return
    if (told.event.type === 'said') this.#hand(gathered, told.origin, told.event.frame)
    else this.#gatherChange(id, gathered, { ...told.event.member, state: told.event.state })
  }

  #hand(gathered: Gathered, origin: string, frame: string): void {
    for (const connection of gathered.connections.keys()) {
      if (origin === this.#origin(connection)) continue
      this.#options.sessions.get(connection)?.connection.send({ type: 'said', frame })
    }
  }

  #gatherChange(id: RoomId, gathered: Gathered, change: RoomChange['members'][number]): void {
    gathered.roster.told(change)
    gathered.changes.push(change)
    if (gathered.changes.length === 1)
      this.#options.clock.after(Math.max(CHANGES_MS, CHANGES_MS_PER_MEMBER * gathered.connections.size), () =>
        this.#tellChanges(id, gathered),
      )
  }

  #tellChanges(id: RoomId, gathered: Gathered): void {
    const changes = gathered.changes.splice(0)
    for (const change of pages(id, changes))
      for (const [connection, stay] of gathered.connections)
        if (stay.missed || !this.#send(connection, change)) this.#miss(connection, stay, change)
  }

  /** False: it reads too slowly. */
  #send(connection: ConnectionId, change: RoomChange): boolean {
    const session = this.#options.sessions.get(connection)
    return session?.state !== 'online' || session.connection.send(change)
  }

  #miss(connection: ConnectionId, stay: Stay, { members }: RoomChange): void {
    stay.missed ??= new Map()
    for (const member of members) {
      // The end of a former holder says nothing about the one of now.
      const known = stay.missed.get(member.name)
      if (known === undefined) this.#missed++
      if (known === undefined || known.since <= member.since) stay.missed.set(member.name, member)
    }
    this.#behind.add(connection)
    const stays = [...(this.#byConnection.get(connection) ?? [])].flatMap(
      (id) => this.#rooms.get(id)?.connections.get(connection) ?? [],
    )
    const own = stays.reduce((sum, { missed }) => sum + (missed?.size ?? 0), 0)
    if (own <= MISSED_MOST && this.#missed <= MISSED_OF_ALL_MOST) return
    for (const each of stays) this.#forgetMissed(each)
    const session = this.#options.sessions.get(connection)
    if (session) this.#options.sessions.close(session, 'slow-consumer')
  }

  #forgetMissed(stay: Stay): void {
    this.#missed -= stay.missed?.size ?? 0
    delete stay.missed
  }

  #catchUp(connection: ConnectionId): boolean {
    for (const id of this.#byConnection.get(connection) ?? []) {
      const stay = this.#rooms.get(id)?.connections.get(connection)
      if (stay?.missed === undefined) continue
      for (const change of pages(id, [...stay.missed.values()])) {
        if (!this.#send(connection, change)) return false
        for (const { name } of change.members) if (stay.missed.delete(name)) this.#missed--
      }
      delete stay.missed
    }
    return true
  }
}

/** As many frames as it takes. */
function* pages(id: RoomId, changes: RoomChange['members']): Generator<RoomChange> {
  for (let from = 0; from < changes.length; from += limits.membersPerPage)
    yield { type: 'changed', room: roomOf(id), members: changes.slice(from, from + limits.membersPerPage) }
}

function owedKey(id: RoomId, { name, since }: Member): string {
  return `${id} ${since} ${name}`
}

function hasEnded(stay: Stay): boolean {
  return stay.ended !== 'no'
}

function memberOf(session: OnlineSession): Member {
  return { name: nameOf(session.peer), since: session.lease.since }
}

/** `origin s<frame>`, or `origin +|-|~<since> <name>`. */
function readTold(text: string): Told | undefined {
  const space = text.indexOf(' ')
  if (space < 0) return undefined
  const origin = text.slice(0, space)
  const mark = text[space + 1]
  if (mark === 's') return { origin, event: { type: 'said', frame: text.slice(space + 2) } }
  const state = STATES.get(mark)
  const words = /^(\d{1,16}) (.+)$/su.exec(text.slice(space + 2))
  const name = parseName(words?.[2])
  if (state === undefined || !name.ok) return undefined
  return { origin, event: { type: 'member', state, member: { since: Number(words?.[1]), name: name.value } } }
}
