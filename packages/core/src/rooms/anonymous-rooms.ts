import type { ConnectionId, RoomId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import { memberLimits } from '../limits.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import type { Nodes } from '../names/nodes.js'
import type { AnonymousSession, Connection, RoomText, Sessions } from '../sessions/sessions.js'
import type { AnonymousTold, Published } from './channel.js'
import { readAnonymousTold } from './channel.js'
import { ClosedRooms, HadTexts } from './had-texts.js'
import { MemberCounts } from './member-counts.js'
import type { RoomRegistry } from './registry.js'
import { KEEP_MS, SentTexts } from './sent-texts.js'

export interface AnonymousRoomsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  registry: Pick<RoomRegistry, 'subscribe' | 'unsubscribe' | 'publish'>
  sessions: Pick<Sessions, 'get'>
  nodes: Pick<Nodes, 'status'>
  clock: Clock
  beatMs: number
  onError: OnError
}

/** `too-many`: the connection, or this node, is in too many rooms. `parted`: it left, or its connection ended, meanwhile. */
export type AnonymousJoin = 'joined' | 'too-many' | 'parted'

/** The connection may have missed a message in the room. */
export type OnMissed = (connection: ConnectionId, room: RoomId) => void

/** What a node may spend on all its connections: rooms of about 1 KB each, and memberships of about 200 bytes each. */
const ROOMS_MOST = 100_000
const MEMBERSHIPS_MOST = 500_000
/**
 * When a node has half of what it may have, a connection joins more rooms only while it is in few. So connections that are
 * each in hundreds of rooms leave room for all others.
 */
const FEW_ROOMS = 16

interface Member {
  readonly connection: Connection
  /** It gets no text for all again that was in the room before. Later than its join: when its own first text came back. */
  since: number
  hasSpoken: boolean
  /** When its first text was said. A text for one member that came later may answer it, and is given to it. */
  firstSaidAt: number | undefined
}

/** A room in which this node has members, from the first join until nobody is in it. */
interface AnonymousRoom {
  readonly id: RoomId
  readonly members: Map<ConnectionId, Member>
  /** Settles when the subscription to the room's channel is active, or has failed. */
  standing: Promise<void>
  /** Which texts have come. Undefined before the first one. */
  had: HadTexts | undefined
}

/**
 * Rooms of connections without names. Nobody lists the members, so the registry holds nothing of them: there is only the
 * room's channel. Every message goes over it, even to members on this node, so that all members get one order. Each node
 * counts its own members, and tells the others how many they are.
 */
export class AnonymousRooms {
  readonly #options: AnonymousRoomsOptions
  readonly #rooms = new Map<RoomId, AnonymousRoom>()
  /** Most connections are in one room. A set takes 200 bytes. */
  readonly #byConnection = new Map<ConnectionId, RoomId | Set<RoomId>>()
  readonly #counts: MemberCounts
  readonly #listeners: OnMissed[] = []
  readonly #sent: SentTexts
  readonly #closed = new ClosedRooms(ROOMS_MOST, 2 * KEEP_MS)
  #memberships = 0

  constructor(options: AnonymousRoomsOptions) {
    this.#options = options
    const own = (room: RoomId): number => this.own(room)
    this.#counts = new MemberCounts({ ...options, own })
    this.#sent = new SentTexts({ ...options, own })
  }

  /** In how many rooms this node has members. */
  get count(): number {
    return this.#rooms.size
  }

  /** In how many rooms the connections of this node are, added up. */
  get memberships(): number {
    return this.#memberships
  }

  /**
   * Resolves when the connection gets every message from then on. Rejects with RegistryUnavailable: then it is no member.
   * If it leaves the room meanwhile, the leave wins.
   */
  async join({ connection }: AnonymousSession, id: RoomId): Promise<AnonymousJoin> {
    // A join may have waited while its connection ended.
    if (this.#options.sessions.get(connection.id)?.state !== 'anonymous') return 'parted'
    const room = this.#enter(connection, id)
    if (room === undefined) return 'too-many'
    try {
      await room.standing
    } catch (error) {
      // If nobody is in the room any more, the subscription was cancelled. That is not an outage of the registry.
      if (room.members.has(connection.id)) throw error
    }
    return room.members.has(connection.id) ? 'joined' : 'parted'
  }

  #enter(connection: Connection, id: RoomId): AnonymousRoom | undefined {
    const known = this.#rooms.get(id)
    if (known?.members.has(connection.id)) return known
    if (!this.#hasPlace(this.countOf(connection.id), known === undefined)) return undefined
    const rooms = this.#byConnection.get(connection.id)
    if (rooms === undefined) this.#byConnection.set(connection.id, id)
    else if (typeof rooms === 'object') rooms.add(id)
    else this.#byConnection.set(connection.id, new Set([rooms, id]))
    this.#memberships++
    const room = known ?? this.#open(id)
    const since = this.#options.clock.monotonic()
    room.members.set(connection.id, { connection, since, hasSpoken: false, firstSaidAt: undefined })
    this.#counts.changed(id)
    return room
  }

  #hasPlace(rooms: number, isNewRoom: boolean): boolean {
    const part = Math.max(this.#memberships / MEMBERSHIPS_MOST, isNewRoom ? this.#rooms.size / ROOMS_MOST : 0)
    return part < 1 && rooms < (part < 0.5 ? memberLimits.anonymousRooms : FEW_ROOMS)
  }

  #open(id: RoomId): AnonymousRoom {
    const { registry } = this.#options
    const room: AnonymousRoom = {
      id,
      members: new Map(),
      standing: Promise.resolve(),
      had: this.#closed.take(id),
    }
    this.#rooms.set(id, room)
    room.standing = registry
      .subscribe(id, (text) => this.#receive(room, text))
      .then(
        () => {
          if (this.#rooms.get(id) === room) this.#counts.ask(id)
        },
        (error: unknown) => {
          this.#failed(room)
          throw error
        },
      )
    return room
  }

  /** The room's subscription has failed, so nobody is in it. The members stay in the object, which tells a failure from a leave. */
  #failed(room: AnonymousRoom): void {
    if (this.#rooms.get(room.id) !== room) return
    for (const connection of room.members.keys()) this.#release(connection, room.id)
    this.#close(room)
  }

  /** Returns false if the connection was not in the room. */
  part(connection: ConnectionId, id: RoomId): boolean {
    const room = this.#rooms.get(id)
    if (!room?.members.delete(connection)) return false
    this.#release(connection, id)
    if (room.members.size === 0) this.#close(room)
    else this.#counts.changed(id)
    return true
  }

  #release(connection: ConnectionId, id: RoomId): void {
    if (!this.has(connection, id)) return
    const rooms = this.#byConnection.get(connection)
    this.#memberships--
    if (typeof rooms === 'object') rooms.delete(id)
    if (rooms === id || this.countOf(connection) === 0) this.#byConnection.delete(connection)
  }

  #close(room: AnonymousRoom): void {
    this.#rooms.delete(room.id)
    this.#sent.closed(room.id)
    if (room.had) this.#closed.add(room.id, room.had, this.#options.clock.monotonic())
    this.#counts.ended(room.id)
    this.#options.registry.unsubscribe(room.id)
  }

  /** The connection has ended: it leaves all its rooms. */
  forget(connection: ConnectionId): void {
    const rooms = this.#byConnection.get(connection) ?? []
    for (const id of typeof rooms === 'object' ? rooms : [rooms]) this.part(connection, id)
  }

  has(connection: ConnectionId, room: RoomId): boolean {
    const rooms = this.#byConnection.get(connection)
    return typeof rooms === 'object' ? rooms.has(room) : rooms === room
  }

  /** How many rooms the connection is in. */
  countOf(connection: ConnectionId): number {
    const rooms = this.#byConnection.get(connection)
    if (rooms === undefined) return 0
    return typeof rooms === 'object' ? rooms.size : 1
  }

  /** How many members the room has on this node. */
  own(room: RoomId): number {
    return this.#rooms.get(room)?.members.size ?? 0
  }

  /** How many members get a message: those of this node, and those of the others as of a beat ago. */
  reach(room: RoomId): number {
    return this.own(room) + this.#counts.others(room)
  }

  /**
   * Sends a text to all members on all nodes, the sender included if it is one. Each gets `published` once. `to`: the
   * member that it is for, in the wire's own words, at most 128 characters. While the registry does not take the text, it is
   * tried again for 15 s, and the later texts of the room wait behind it. `unavailable`: it may not have reached anybody.
   */
  say(
    { connection }: AnonymousSession,
    id: RoomId,
    text: string,
    to?: string,
  ): Promise<'sent' | 'unavailable'> {
    const member = this.#rooms.get(id)?.members.get(connection.id)
    if (member) member.firstSaidAt ??= this.#options.clock.monotonic()
    return this.#sent.say(id, { connection: connection.id, to, text })
  }

  /**
   * Adds a listener. It is called with each connection that may have missed a message, or whose message may have been
   * lost: because this node's subscriptions were in doubt, because no text of this node comes back over the room's channel,
   * or because the peer reads too slowly. It may be called more than once for one loss. A wire whose peers say nothing
   * twice then closes the connection, so that the peer begins anew [I17].
   */
  onMissed(listener: OnMissed): void {
    this.#listeners.push(listener)
  }

  /**
   * Messages and counts may have been lost, or this node has a new NodeId. The nodes send each other the texts of the last
   * seconds again, and each member gets those that it has missed.
   */
  doubt(): void {
    this.#counts.forget()
    this.#sent.doubt(this.#rooms.keys())
    for (const room of this.#rooms.keys()) this.#lost(room)
  }

  /** Once a beat: looks for lost texts, and tells the other nodes where this node's number of members has changed. */
  turn(): void {
    this.#closed.expire(this.#options.clock.monotonic())
    this.#sent.turn((room) => this.#lost(room))
    this.#counts.tellTurn()
  }

  /** Texts are not tried again any more. */
  stop(): void {
    this.#sent.stop()
  }

  #lost(id: RoomId): void {
    for (const connection of this.#rooms.get(id)?.members.keys() ?? []) this.#tellMissed(connection, id)
  }

  #receive(room: AnonymousRoom, text: string): void {
    if (this.#rooms.get(room.id) !== room) return
    const told = readAnonymousTold(text)
    if (told === undefined)
      return this.#options.onError(new Error('a text on a room channel that cannot be parsed'), {
        stage: 'room',
      })
    if (told.node !== this.#options.heartbeat.id) this.#learn(room.id, told)
    if (told.type !== 'published') return
    const isOwn = told.sender === this.#sent.sender
    if (isOwn) this.#sent.heard(room.id, told.number)
    room.had ??= new HadTexts()
    if (room.had.take(told.sender, told.number)) this.#hand(room, told, isOwn)
  }

  #learn(id: RoomId, told: AnonymousTold): void {
    this.#counts.learn(id, told)
    if (told.type === 'counted' && told.asks === 'texts') this.#sent.repeat(id)
  }

  #hand({ id, members }: AnonymousRoom, told: Published, isOwn: boolean): void {
    const message: RoomText = {
      type: 'published',
      room: id,
      text: told.text,
      to: told.to,
      members: this.reach(id),
      sender: isOwn ? told.connection : undefined,
    }
    const now = this.#options.clock.monotonic()
    const speaker = isOwn ? members.get(told.connection) : undefined
    if (speaker?.hasSpoken === false) Object.assign(speaker, { since: now, hasSpoken: true })
    // A text without an age comes for the first time, or nobody knows that it came before.
    const saidAt = told.age === undefined ? now : now - told.age
    for (const { connection, since, firstSaidAt } of members.values()) {
      const from = told.to === undefined ? since : (firstSaidAt ?? since)
      if (from <= saidAt && !connection.send(message) && connection.isOpen)
        this.#tellMissed(connection.id, id)
    }
  }

  #tellMissed(connection: ConnectionId, room: RoomId): void {
    for (const listener of this.#listeners) listener(connection, room)
  }
}
