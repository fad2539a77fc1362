import { hash, randomBytes } from 'node:crypto'
import type { ConnectionId, Name, Room, RoomId } from '@peerage/protocol'
import { nameOf, parseRoomId, roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Nodes } from '../names/nodes.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { OnlineSession, Sessions } from '../sessions/sessions.js'
import { RENEW_ROUND_BEATS } from '../times.js'
import type { Seat, SeatRegistry } from './seat-registry.js'

export interface SeatsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  seats: SeatRegistry
  nodes: Pick<Nodes, 'list'>
  sessions: Sessions
  nameTtlMs: number
  onError: OnError
}

interface Taken {
  room: RoomId
  name: Name
  seats: number
}

/** A seat in a group that is not full, as far as this node knows. */
interface Waiting extends Taken {
  group: string
  /** The room of the group's members. */
  groupRoom: RoomId
}

/** 128 random bits: nobody else begins the same group. */
const GROUP_BYTES = 16
/** Seats that could not be given back, and are tried again. Beyond this number they end by their TTL. */
const UNRETURNED_MOST = 1_000

/** The seats of this node's members in groups that are not full yet. */
export class Seats {
  readonly #options: SeatsOptions
  readonly #waiting = new Map<ConnectionId, Waiting>()
  readonly #unreturned = new Map<string, Taken>()
  /** How many members of a room this node knows. */
  readonly #membersOf: (room: RoomId) => number

  constructor(options: SeatsOptions, membersOf: (room: RoomId) => number) {
    this.#options = options
    this.#membersOf = membersOf
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
    const { group, isFull } = await this.#take(taken)
    const groupRoom = roomOfGroup(room, seats, group)
    if (this.#options.sessions.get(id)?.state !== 'online') {
      if (!isFull) await this.#giveBack(taken)
      return undefined
    }
    if (!isFull) this.#waiting.set(id, { ...taken, group, groupRoom })
    return roomOf(groupRoom)
  }

  async #take(taken: Taken): Promise<{ group: string; isFull: boolean }> {
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
    let i = 0
    for (const [connection, waiting] of this.#waiting)
      if (i++ % RENEW_ROUND_BEATS === turn) await this.#keep(connection, waiting, false)
  }

  /** The registry may have lost everything: writes the seats back. Rejects with RegistryUnavailable. */
  async keepAll(): Promise<void> {
    for (const [connection, waiting] of this.#waiting) await this.#keep(connection, waiting, true)
  }

  async #keep(connection: ConnectionId, waiting: Waiting, isLost: boolean): Promise<void> {
    const { room, seats, group, groupRoom } = waiting
    // If all members have come, the registry must not open the group again, though it may have forgotten that.
    const isFull = this.#membersOf(groupRoom) >= seats
    const seat = { ...this.#seat(waiting), group, isLost }
    if (!isFull && (await this.#options.seats.keep(room, seat)) === 'waiting') return
    if (this.#waiting.get(connection) === waiting) this.#waiting.delete(connection)
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
