import { hash, randomBytes } from 'node:crypto'
import type { ConnectionId, Name, NodeId, Room, RoomId } from '@peerage/protocol'
import { nameOf, parseRoomId, roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Nodes } from '../names/nodes.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { OnlineSession, Sessions } from '../sessions/sessions.js'
import { RENEW_ROUND_BEATS } from '../times.js'
import type { Seat, SeatRegistry, SeatState } from './seat-registry.js'

export interface SeatsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  seats: SeatRegistry
  nodes: Pick<Nodes, 'list'>
  sessions: Sessions
  nameTtlMs: number
  /** Others have the seat of this peer, which has joined the room of its group. */
  replaced: (connection: ConnectionId) => void
  onError: OnError
}

interface Taken {
  room: RoomId
  name: Name
  seats: number
}

/** A seat in a group that has not met, as far as this node knows. */
interface Waiting extends Taken {
  group: string
  /** The room of the group's members. */
  groupRoom: RoomId
  isConfirmed: boolean
  /** In which beat of a round it is renewed. */
  turn: number
  /** This node's identity when it last wrote the seat. */
  node: NodeId
}

/** The rooms of the groups. */
export interface GroupRooms {
  /** How many members of a room this node knows. */
  members: (room: RoomId) => number
  /** The most members of a room that this node has known at one time. */
  most: (room: RoomId) => number
  /** How many members a room has that are not away. Rejects with RegistryUnavailable. */
  online: (room: RoomId) => Promise<number>
}

/** 128 random bits: nobody else begins the same group. */
const GROUP_BYTES = 16
/** Seats that could not be given back, and are tried again. Beyond this number they end by their TTL. */
const UNRETURNED_MOST = 1_000

/**
 * The seats of this node's members in groups that have not met yet. A peer may go between its seat and its join, also one
 * that completes its group. So it confirms its seat when it has joined.
 */
export class Seats {
  readonly #options: SeatsOptions
  readonly #waiting = new Map<ConnectionId, Waiting>()
  readonly #unreturned = new Map<string, Taken>()
  readonly #rooms: GroupRooms
  /** The turn of the next seat, so that each beat renews an equal share. */
  #nextTurn = 0

  constructor(options: SeatsOptions, rooms: GroupRooms) {
    this.#options = options
    this.#rooms = rooms
  }

  /**
   * Takes a seat and resolves with the room of its group. Undefined: the connection has ended meanwhile. Rejects with
   * RegistryUnavailable.
   */
  async take(
    { connection: { id }, peer }: OnlineSession,
    room: RoomId,
    seats: number,
  ): Promise<Room | undefined> {
    const taken: Taken = { room, name: nameOf(peer), seats }
    const group = await this.#take(taken)
    if (this.#options.sessions.get(id)?.state !== 'online') {
      await this.#giveBack(taken)
      return undefined
    }
    const groupRoom = roomOfGroup(room, seats, group)
    const { id: node } = this.#options.heartbeat
    this.#waiting.set(id, { ...taken, group, groupRoom, isConfirmed: false, turn: this.#nextTurn, node })
    this.#nextTurn = (this.#nextTurn + 1) % RENEW_ROUND_BEATS
    return roomOf(groupRoom)
  }

  async #take(taken: Taken): Promise<string> {
    const { seats: registry, nodes } = this.#options
    const dead = nodes.list().flatMap(({ node, status }) => (status.state === 'dead' ? [node] : []))
    const fresh = randomBytes(GROUP_BYTES).toString('base64url')
    this.#unreturned.delete(keyOf(taken))
    try {
      return await registry.seat(taken.room, { ...this.#seat(taken), fresh, dead })
    } catch (error) {
      // The registry may have given the seat all the same.
      this.#giveBackLater(taken)
      throw error
    }
  }

  /** See `Rooms.confirm`. */
  async confirm(connection: ConnectionId): Promise<boolean> {
    const waiting = this.#waiting.get(connection)
    if (waiting === undefined || waiting.isConfirmed) return true
    try {
      const state = await this.#keep(connection, waiting, true)
      return state === 'waiting' || state === 'met'
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#options.onError(error, { stage: 'confirm a seat' })
      return true
    } finally {
      waiting.isConfirmed = true
    }
  }

  /** Call it when a connection has ended. */
  async forget(connection: ConnectionId): Promise<void> {
    const waiting = this.#waiting.get(connection)
    if (waiting === undefined) return
    this.#waiting.delete(connection)
    await this.#giveBack(waiting)
  }

  /** Renews one share of the seats. Rejects with RegistryUnavailable. */
  async renewTurn(turn: number): Promise<void> {
    for (const taken of this.#unreturned.values()) await this.#return(taken)
    for (const [connection, waiting] of this.#waiting) {
      const isDue = waiting.turn === turn
      // If all members have been here, the group has probably met. This node should learn of it soon, because it would
      // open the group again if the registry lost everything.
      const isComplete = this.#rooms.most(waiting.groupRoom) >= waiting.seats
      if (waiting.isConfirmed && (isDue || isComplete)) await this.#renew(connection, waiting, false)
    }
  }

  /** The registry may have lost everything: writes the seats back. Rejects with RegistryUnavailable. */
  async keepAll(): Promise<void> {
    for (const [connection, waiting] of this.#waiting)
      if (waiting.isConfirmed) await this.#renew(connection, waiting, true)
  }

  async #renew(connection: ConnectionId, waiting: Waiting, mayBeLost: boolean): Promise<void> {
    // Its former identity counted as dead, so others may have its seats, and the group may have met with them.
    const wasDead = waiting.node !== this.#options.heartbeat.id
    const online = wasDead ? await this.#rooms.online(waiting.groupRoom) : undefined
    const state = await this.#keep(connection, waiting, mayBeLost, online)
    const isOver = online !== undefined && online > waiting.seats
    if (state === 'taken' || (state === 'gone' && isOver)) this.#options.replaced(connection)
  }

  async #keep(
    connection: ConnectionId,
    waiting: Waiting,
    mayBeLost: boolean,
    members = this.#rooms.members(waiting.groupRoom),
  ): Promise<SeatState> {
    const { room, seats, group } = waiting
    // If all members have come, the registry must not open the group again, though it may have forgotten that.
    const lost = members < seats ? 'group' : 'seat'
    const seat = { ...this.#seat(waiting), group, loss: mayBeLost ? lost : 'nothing' } as const
    const state = await this.#options.seats.keep(room, seat)
    waiting.node = seat.node
    const hasEnded = this.#waiting.get(connection) !== waiting
    // The seat was given back meanwhile, and may have been written back after that.
    if (hasEnded) await this.#giveBack(waiting)
    else if (state !== 'waiting') this.#waiting.delete(connection)
    return state === 'gone' && members === seats ? 'met' : state
  }

  async #giveBack(taken: Taken): Promise<void> {
    try {
      await this.#return(taken)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#giveBackLater(taken)
      this.#options.onError(error, { stage: 'give a seat back' })
    }
  }

  async #return(taken: Taken): Promise<void> {
    const { room, name, seats } = taken
    await this.#options.seats.unseat(room, { name, seats })
    this.#unreturned.delete(keyOf(taken))
  }

  #giveBackLater(taken: Taken): void {
    if (this.#unreturned.size < UNRETURNED_MOST) this.#unreturned.set(keyOf(taken), taken)
  }

  #seat({ name, seats }: Taken): Seat {
    const { heartbeat, nameTtlMs } = this.#options
    return { name, node: heartbeat.id, seats, ttlMs: nameTtlMs }
  }
}

function keyOf({ room, name, seats }: Taken): string {
  return `${seats} ${room}\n${name}`
}

/** Nobody can guess the room of a group: the group is random, and the room's name is a hash over it. */
function roomOfGroup(room: RoomId, seats: number, group: string): RoomId {
  const name = hash('sha256', `${room}\n${seats}\n${group}`, 'base64url')
  const parsed = parseRoomId(`${room.slice(0, room.indexOf('/'))}/#${name}`)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}
