import type { ConnectionId, RoomId } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import type { Nodes } from '../names/nodes.js'
import type { AnonymousSession, Connection, RoomText, Sessions } from '../sessions/sessions.js'
import type { AnonymousTold } from './channel.js'
import { encodePublished, originOf, readAnonymousTold } from './channel.js'
import { MemberCounts } from './member-counts.js'
import type { RoomRegistry } from './registry.js'

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

/** A room in which this node has members, from the first join until nobody is in it. */
interface LocalRoom {
  readonly id: RoomId
  readonly members: Map<ConnectionId, Connection>
  /** Settles when the subscription to the room's channel is active, or has failed. */
  standing: Promise<void>
}

/**
 * Rooms of connections without names. Nobody lists the members, so the registry holds nothing of them: there is only the
 * room's channel. Every message goes over it, even to members on this node, so that all members get one order. Each node
 * counts its own members, and tells the others how many they are.
 */
export class AnonymousRooms {
  readonly #options: AnonymousRoomsOptions
  readonly #rooms = new Map<RoomId, LocalRoom>()
  readonly #byConnection = new Map<ConnectionId, Set<RoomId>>()
  readonly #counts: MemberCounts
  readonly #listeners: OnMissed[] = []
  #memberships = 0

  constructor(options: AnonymousRoomsOptions) {
    this.#options = options
    const own = (room: RoomId): number => this.#rooms.get(room)?.members.size ?? 0
    this.#counts = new MemberCounts({ ...options, own })
  }

  /** In how many rooms this node has members. */
  get count(): number {
    return this.#rooms.size
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

  #enter(connection: Connection, id: RoomId): LocalRoom | undefined {
    const known = this.#rooms.get(id)
    if (known?.members.has(connection.id)) return known
    const rooms = this.#byConnection.get(connection.id)
    if (!this.#hasPlace(rooms?.size ?? 0, known === undefined)) return undefined
    if (rooms) rooms.add(id)
    else this.#byConnection.set(connection.id, new Set([id]))
    this.#memberships++
    const room = known ?? this.#open(id)
    room.members.set(connection.id, connection)
    this.#counts.changed(id)
    return room
  }

  #hasPlace(rooms: number, isNewRoom: boolean): boolean {
    const part = Math.max(this.#memberships / MEMBERSHIPS_MOST, isNewRoom ? this.#rooms.size / ROOMS_MOST : 0)
    return part < 1 && rooms < (part < 0.5 ? limits.anonymousRooms : FEW_ROOMS)
  }

  #open(id: RoomId): LocalRoom {
    const { registry } = this.#options
    const room: LocalRoom = { id, members: new Map(), standing: Promise.resolve() }
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
  #failed(room: LocalRoom): void {
    if (this.#rooms.get(room.id) !== room) return
    for (const connection of room.members.keys()) this.#release(connection, room.id)
    this.#close(room.id)
  }

  /** Returns false if the connection was not in the room. */
  part(connection: ConnectionId, id: RoomId): boolean {
    const room = this.#rooms.get(id)
    if (!room?.members.delete(connection)) return false
    this.#release(connection, id)
    if (room.members.size === 0) this.#close(id)
    else this.#counts.changed(id)
    return true
  }

  #release(connection: ConnectionId, id: RoomId): void {
    const rooms = this.#byConnection.get(connection)
    if (!rooms?.delete(id)) return
    this.#memberships--
    if (rooms.size === 0) this.#byConnection.delete(connection)
  }

  #close(id: RoomId): void {
    this.#rooms.delete(id)
    this.#counts.ended(id)
    this.#options.registry.unsubscribe(id)
  }

  /** The connection has ended: it leaves all its rooms. */
  forget(connection: ConnectionId): void {
    for (const id of this.#byConnection.get(connection) ?? []) this.part(connection, id)
  }

  has(connection: ConnectionId, room: RoomId): boolean {
    return this.#byConnection.get(connection)?.has(room) === true
  }

  /** How many rooms the connection is in. */
  countOf(connection: ConnectionId): number {
    return this.#byConnection.get(connection)?.size ?? 0
  }

  /** How many members the room has on all nodes. On a node without members of its own it is 0. */
  sizeOf(room: RoomId): number {
    const own = this.#rooms.get(room)?.members.size ?? 0
    return own + this.#counts.others(room)
  }

  /**
   * Sends a text to all members on all nodes, the sender included if it is one. Each gets `published`. `to`: the member
   * that it is for, in the wire's own words, at most 128 characters. `unavailable`: it may not have reached anybody.
   */
  say(
    { connection }: AnonymousSession,
    room: RoomId,
    text: string,
    to?: string,
  ): Promise<'sent' | 'unavailable'> {
    const { registry, heartbeat } = this.#options
    const own = this.#rooms.get(room)?.members.size ?? 0
    return registry.publish(room, encodePublished(originOf(heartbeat.id, connection.id), own, to, text))
  }

  /**
   * Adds a listener. It is called with each connection that may have missed a message: because this node's subscriptions
   * were in doubt, or because its peer reads too slowly. It may be called more than once for one loss. A wire whose peers
   * say nothing twice then closes the connection, so that the peer begins anew.
   */
  onMissed(listener: OnMissed): void {
    this.#listeners.push(listener)
  }

  /** Messages and counts may have been lost, or this node has a new NodeId. */
  doubt(): void {
    this.#counts.forget()
    for (const { id, members } of this.#rooms.values()) {
      this.#counts.ask(id)
      for (const connection of members.keys()) this.#tellMissed(connection, id)
    }
  }

  /** Once a beat: tells the other nodes how many members this node has where that has changed. */
  tellTurn(): void {
    this.#counts.tellTurn()
  }

  #receive(room: LocalRoom, text: string): void {
    if (this.#rooms.get(room.id) !== room) return
    const told = readAnonymousTold(text)
    if (told === undefined)
      return this.#options.onError(new Error('a text on a room channel that cannot be parsed'), {
        stage: 'room',
      })
    const isOwn = told.node === this.#options.heartbeat.id
    if (!isOwn) this.#counts.learn(room.id, told)
    if (told.type === 'published') this.#hand(room, told, isOwn)
  }

  #hand({ id, members }: LocalRoom, told: AnonymousTold & { type: 'published' }, isOwn: boolean): void {
    const message: RoomText = {
      type: 'published',
      room: id,
      text: told.text,
      to: told.to,
      members: members.size + this.#counts.others(id),
      sender: isOwn ? told.connection : undefined,
    }
    for (const connection of members.values())
      if (!connection.send(message) && connection.isOpen) this.#tellMissed(connection.id, id)
  }

  #tellMissed(connection: ConnectionId, room: RoomId): void {
    for (const listener of this.#listeners) listener(connection, room)
  }
}
