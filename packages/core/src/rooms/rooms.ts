import type { App, ConnectionId, Name, NodeId, Room, RoomId } from '@peerage/protocol'
import { appOf, limits, nameOf, peerOf, roomIdOf, roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import { CoarseTimers } from '../lib/coarse-timers.js'
import { Running } from '../lib/running.js'
import type { Nodes } from '../names/nodes.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { OnlineSession, Sessions } from '../sessions/sessions.js'
import { RENEW_ROUND_BEATS } from '../times.js'
import { Changes } from './changes.js'
import type { MemberState } from './channel.js'
import { NO_CONNECTION, encodeChange, encodeSaid, originOf, readTold } from './channel.js'
import { Departures } from './departures.js'
import type { Page } from './lists.js'
import { Lists } from './lists.js'
import type { Entry } from './local-room.js'
import { LocalRoom } from './local-room.js'
import type { Member, Membership, RoomRegistry } from './registry.js'
import type { Sought } from './roster.js'
import type { SeatRegistry } from './seat-registry.js'
import { Seats } from './seats.js'

export interface RoomsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id' | 'recovering'>
  registry: RoomRegistry
  seats: SeatRegistry
  sessions: Sessions
  clock: Clock
  nameTtlMs: number
  graceMs: number
  nodes: Pick<Nodes, 'status' | 'list'>
  /** For the others, this peer has left one of its rooms for good, or has no seat any more. It does not know of that. */
  replaced: (connection: ConnectionId) => void
  onError: OnError
}

/** `parted`: the peer left the room, or its connection ended, before the join was complete. */
export type JoinOutcome = 'joined' | 'known' | 'too-many' | 'parted'

/** During a recovery of the registry, how soon to look again whether it is over. */
const RECOVERY_PAUSE_MS = 1_000

/**
 * The rooms in which this node has members. It makes, renews and ends the memberships of these members. Messages go over
 * the room's channel, even to members on this node, so that all of them get one order. Messages and changes arrive at
 * most once. The list in the registry is authoritative. The node compares each room with it regularly, so that its
 * members learn of changes that were lost [I15].
 */
export class Rooms {
  readonly #options: RoomsOptions
  readonly #rooms = new Map<RoomId, LocalRoom>()
  readonly #byConnection = new Map<ConnectionId, Set<RoomId>>()
  readonly #lists: Lists
  readonly #changes: Changes
  readonly #seats: Seats
  #turn = 0
  /** The turn of the next new room, so that each beat renews an equal share. */
  #nextTurn = 0
  readonly #departures: Departures
  /** Ends of memberships and of seats without an answer yet. */
  readonly #pendingEnds = new Running()
  /** Other nodes that were live when this node last renewed memberships. */
  #formerlyLive: readonly NodeId[] = []
  /** Rooms that are to be compared with their lists, and what the comparison may find. */
  readonly #toReconcile = new Map<RoomId, Sought>()
  #reconciling = false
  /** Rooms in which a membership may end. */
  readonly #ends: CoarseTimers<RoomId>

  constructor(options: RoomsOptions) {
    this.#options = options
    this.#ends = new CoarseTimers(options.clock, (ids) => void this.#askEnds(ids))
    this.#changes = new Changes(options)
    this.#seats = new Seats(options, {
      members: (id) => this.#rooms.get(id)?.roster.size ?? 0,
      most: (id) => this.#rooms.get(id)?.roster.most ?? 0,
      online: async (id) => (await this.#lists.all(id)).filter(({ state }) => state === 'online').length,
    })
    this.#departures = new Departures({
      ...options,
      tell: (id, connection, state, member) => this.#tell(id, connection, state, member),
      isBack: (id, member) => this.#isBack(id, member),
    })
    this.#lists = new Lists({
      ...options,
      listed: (id, members) => this.#rooms.get(id)?.listed(members),
    })
  }

  get count(): number {
    return this.#rooms.size
  }

  /**
   * Resolves when the peer gets every message that is sent to the room from then on. Rejects with RegistryUnavailable.
   * Then a peer that was not a member before is not one now. If the peer leaves meanwhile, the leave wins.
   */
  async join(session: OnlineSession, name: Room): Promise<JoinOutcome> {
    const id = idOf(session, name)
    const { connection } = session
    const rooms = this.#byConnection.get(connection.id) ?? new Set()
    if (!rooms.has(id) && rooms.size >= limits.rooms) return 'too-many'
    const room = this.#room(id)
    const known = room.entries.get(connection.id)
    const entry: Entry = known ?? {
      member: memberOf(session),
      joining: 0,
      joined: false,
      keptUntil: 0,
      ended: 'no',
    }
    room.entries.set(connection.id, entry)
    this.#byConnection.set(connection.id, rooms.add(id))
    entry.joining++
    try {
      await room.standing
      return await this.#enter(id, connection.id, entry)
    } catch (error) {
      // The subscription was cancelled because nobody needs it any more. That is not an outage of the registry.
      if (error instanceof RegistryUnavailable && hasEnded(entry)) return 'parted'
      throw error
    } finally {
      entry.joining--
      if (entry.joining === 0 && !entry.joined && !hasEnded(entry)) this.#drop(connection.id, id, 'left')
    }
  }

  async #enter(id: RoomId, connection: ConnectionId, entry: Entry): Promise<JoinOutcome> {
    const { registry, clock, nameTtlMs } = this.#options
    if (hasEnded(entry)) return 'parted'
    const { member } = entry
    this.#departures.cancel(id, member)
    const keptUntil = clock.monotonic() + nameTtlMs
    const outcome = await registry.join(id, this.#membership(member), nameTtlMs, limits.membersPerRoom)
    if (outcome === 'full') return 'too-many'
    entry.joined = true
    entry.keptUntil = keptUntil
    if (!hasEnded(entry)) {
      // A known member may have been away, so the others are told that it is back.
      await this.#tell(id, connection, 'joined', member)
      return outcome
    }
    // If it has not joined again since then, the new membership ends.
    if (!this.#rooms.get(id)?.entries.has(connection)) await this.#end(id, connection, entry)
    return 'parted'
  }

  #room(id: RoomId): LocalRoom {
    const known = this.#rooms.get(id)
    if (known) return known
    const standing = this.#options.registry.subscribe(id, (text) => this.#receive(id, text))
    const nextEnd = (ms: number | undefined): void => {
      if (ms === undefined) this.#ends.delete(id)
      else if (this.#rooms.get(id) === room) this.#ends.add(id, ms)
    }
    const room = new LocalRoom(id, this.#nextTurn, standing, {
      ...this.#options,
      changes: this.#changes,
      nextEnd,
    })
    this.#nextTurn = (this.#nextTurn + 1) % RENEW_ROUND_BEATS
    this.#rooms.set(id, room)
    return room
  }

  #receive(id: RoomId, text: string): void {
    const told = readTold(text)
    if (told === undefined)
      this.#options.onError(new Error('a text on a room channel that cannot be parsed'), { stage: 'room' })
    else this.#rooms.get(id)?.hear(told)
  }

  /**
   * Takes a seat in a group of `seats` members of this room, 2 to `memberLimits.seats`. Resolves with the room of the group: join
   * it, then `confirm`. All members of one group get the same room, on whichever nodes they are, and never more than `seats`
   * of them. A connection that ends before all of them have confirmed gives its seat back. Undefined: it has ended. Rejects
   * with RegistryUnavailable.
   */
  seat(session: OnlineSession, name: Room, seats: number): Promise<Room | undefined> {
    return this.#seats.take(session, idOf(session, name), seats)
  }

  /**
   * Call it when the peer has joined the room of its group and knows the members that were there, so that it hears of it if
   * one of them leaves. Returns false if the registry has lost the seat and others may have it. Then the peer leaves the
   * room, and takes another seat. During an outage of the registry, a later beat confirms the seat.
   */
  confirm({ connection }: OnlineSession): Promise<boolean> {
    return this.#seats.confirm(connection.id)
  }

  /** Returns false if the peer was not in the room. */
  async part(session: OnlineSession, name: Room): Promise<boolean> {
    const id = idOf(session, name)
    const entry = this.#drop(session.connection.id, id, 'left')
    if (entry === undefined) return false
    await this.#end(id, session.connection.id, entry)
    return true
  }

  /** Call it when a socket has ended. Its memberships end now (`left`), or are kept as its name is (`dropped`). */
  forget(connection: ConnectionId, how: 'left' | 'dropped'): Promise<void> {
    return this.#pendingEnds.add(this.#forget(connection, how))
  }

  async #forget(connection: ConnectionId, how: 'left' | 'dropped'): Promise<void> {
    await this.#seats.forget(connection)
    const rooms = [...(this.#byConnection.get(connection) ?? [])]
    const entries = rooms.map((id) => [id, this.#drop(connection, id, how)] as const)
    for (const [id, entry] of entries) if (entry) await this.#departures.end(id, connection, entry)
  }

  #end(id: RoomId, connection: ConnectionId, entry: Entry): Promise<void> {
    return this.#pendingEnds.add(this.#departures.end(id, connection, entry))
  }

  /** Resolves when the registry knows of all memberships and seats that have ended, or has failed. */
  settled(): Promise<void> {
    return this.#pendingEnds.settled()
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
    this.#ends.delete(id)
    this.#options.registry.unsubscribe(id)
    return entry
  }

  /**
   * Whether the peer has joined again over another connection before this node learned that this connection had ended.
   */
  #isBack(id: RoomId, { name, since }: Member): boolean {
    const session = this.#options.sessions.online(peerOf(appOf(id), name))
    if (session?.lease.since !== since) return false
    return this.#rooms.get(id)?.entries.has(session.connection.id) === true
  }

  /** The rooms that a connection has joined, or is joining. */
  of(connection: ConnectionId): Room[] {
    return [...(this.#byConnection.get(connection) ?? [])].map(roomOf)
  }

  has(session: OnlineSession, name: Room): boolean {
    return this.#byConnection.get(session.connection.id)?.has(idOf(session, name)) ?? false
  }

  /** A page of members, read after this call. */
  list(session: OnlineSession, name: Room, after?: Name): Promise<Page> {
    return this.#lists.page(idOf(session, name), after)
  }

  /** How many members get a message; see `LocalRoom.reach`. */
  reach(session: OnlineSession, name: Room): number | Promise<number> {
    return this.#rooms.get(idOf(session, name))?.reach() ?? 0
  }

  /** Sends `frame` to every other member. It is encoded once for all of them. */
  say(session: OnlineSession, name: Room, frame: string): Promise<'sent' | 'unavailable'> {
    const origin = this.#origin(session.connection.id)
    return this.#options.registry.publish(idOf(session, name), encodeSaid(origin, frame))
  }

  /** Sends `frame` to all members, for a sender that is no member. */
  sayFrom(app: App, name: Room, frame: string): Promise<'sent' | 'unavailable'> {
    const origin = `${this.#options.heartbeat.id}.${NO_CONNECTION}`
    return this.#options.registry.publish(roomIdOf(app, name), encodeSaid(origin, frame))
  }

  /** A page of up to `most` members, for a reader that is no member. Rejects with RegistryUnavailable. */
  page(app: App, name: Room, after: Name | undefined, most: number): Promise<Page> {
    return this.#lists.read(roomIdOf(app, name), after, most)
  }

  async #tell(id: RoomId, connection: ConnectionId, state: MemberState, member: Member): Promise<void> {
    await this.#options.registry.publish(id, encodeChange(this.#origin(connection), state, member))
  }

  #origin(connection: ConnectionId): string {
    return originOf(this.#options.heartbeat.id, connection)
  }

  /**
   * Once a beat, for one share of the rooms: renews or writes back the memberships of this node, then compares each
   * room with its list.
   */
  async renewTurn(): Promise<void> {
    const turn = this.#turn
    this.#turn = (this.#turn + 1) % RENEW_ROUND_BEATS
    for (const room of [...this.#rooms.values()].filter((one) => one.turn === turn)) {
      await this.#keep(room)
      this.#toReconcile.set(room.id, 'all')
    }
    this.#formerlyLive = this.#otherLiveNodes()
    await this.#seats.renewTurn(turn)
    // The beat does not wait for this comparison.
    void this.#reconcileAll()
  }

  /**
   * The registry may have lost everything: writes all memberships of this node back. Changes may have been lost too, so
   * this node then looks for members that it was not told of.
   */
  async keepAll(): Promise<void> {
    for (const room of this.#rooms.values()) {
      await this.#keep(room)
      if (!this.#toReconcile.has(room.id)) this.#toReconcile.set(room.id, 'unknown')
    }
    this.#formerlyLive = this.#otherLiveNodes()
    await this.#seats.keepAll()
    void this.#reconcileAll()
  }

  /** Asks in one room after the other which of its absent members have left. */
  async #askEnds(ids: readonly RoomId[]): Promise<void> {
    for (const id of ids) {
      // A membership that is absent now may be written back.
      if (this.#options.heartbeat.recovering) this.#ends.add(id, RECOVERY_PAUSE_MS)
      else
        await this.#rooms
          .get(id)
          ?.askEnds()
          .catch((error: unknown) => {
            this.#options.onError(error, { stage: 'room list' })
          })
    }
  }

  stop(): void {
    this.#ends.stop()
  }

  async #keep({ id, entries }: LocalRoom): Promise<void> {
    const { registry, clock, nameTtlMs, replaced } = this.#options
    const now = clock.monotonic()
    const kept: Entry[] = []
    for (const [connection, entry] of entries)
      if (this.#hasLeftForOthers(connection, entry, now)) replaced(connection)
      else if (entry.joined) kept.push(entry)
    const memberships = kept.map(({ member }) => this.#membership(member))
    await registry.keep(id, memberships, nameTtlMs)
    for (const entry of kept) entry.keptUntil = now + nameTtlMs
  }

  /**
   * Whether other members may have been told that this one has left, although it cannot come back. Its membership has
   * ended meanwhile, and another node has not been without its lease. After an outage for all nodes, all have new
   * identities, and none has told anything.
   */
  #hasLeftForOthers(connection: ConnectionId, { joined, keptUntil }: Entry, now: number): boolean {
    const { sessions, nodes } = this.#options
    if (!joined || now < keptUntil || sessions.get(connection)?.connection.leavesAtEnd !== true) return false
    return this.#formerlyLive.some((node) => nodes.status(node).state === 'live')
  }

  #otherLiveNodes(): NodeId[] {
    const { nodes, heartbeat } = this.#options
    const live = nodes.list().filter(({ node, status }) => status.state === 'live' && node !== heartbeat.id)
    return live.map(({ node }) => node)
  }

  #membership(member: Member): Membership {
    return { ...member, node: this.#options.heartbeat.id, state: 'online' }
  }

  /** Removes ended memberships first, then reads one list after the other. A later beat repeats what failed. */
  async #reconcileAll(): Promise<void> {
    if (this.#reconciling) return
    this.#reconciling = true
    try {
      await this.#departures.retry()
      for (const [id, sought] of this.#toReconcile) {
        this.#toReconcile.delete(id)
        await this.#reconcile(id, sought)
      }
    } catch (error) {
      this.#options.onError(error, { stage: 'room list' })
    } finally {
      this.#reconciling = false
    }
  }

  async #reconcile(id: RoomId, sought: Sought): Promise<void> {
    const room = this.#rooms.get(id)
    if (room === undefined || (sought === 'all' && this.#options.heartbeat.recovering)) return
    const changes = await room.roster.reconcile(() => this.#lists.all(id), sought)
    if (this.#rooms.get(id) === room) for (const change of changes) room.change(change)
  }
}

/** The rooms of each wire are rooms of their own. */
function idOf({ peer, connection: { wire } }: OnlineSession, room: Room): RoomId {
  return roomIdOf(appOf(peer), room, wire === 'native' ? undefined : wire)
}

function hasEnded(entry: Entry): boolean {
  return entry.ended !== 'no'
}

function memberOf(session: OnlineSession): Member {
  return { name: nameOf(session.peer), since: session.lease.since }
}
