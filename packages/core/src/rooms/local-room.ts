import type { ConnectionId, RoomId } from '@peerage/protocol'
import { roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { Pulse } from '../names/pulse.js'
import type { MemberChange, Sessions } from '../sessions/sessions.js'
import type { Changes } from './changes.js'
import { pages } from './changes.js'
import type { Told } from './channel.js'
import { originOf } from './channel.js'
import type { Member, RoomRegistry } from './registry.js'
import { Roster } from './roster.js'

export interface LocalRoomOptions {
  pulse: Pick<Pulse, 'id'>
  registry: RoomRegistry
  sessions: Sessions
  clock: Clock
  changes: Changes
  onError: OnError
}

/** A connection in a room, from its join until it parts. */
export interface Entry {
  readonly member: Member
  /** Joins that are on their way. */
  joining: number
  /** The registry has it. */
  joined: boolean
  ended: 'no' | 'left' | 'dropped'
}

/** A thousand peers that join at once are a few frames to each member, not a thousand. */
const CHANGES_MS = 50
/** In a room of more than five hundred on this node more of them go together, or who comes and goes costs the most. */
const CHANGES_MS_PER_MEMBER = 0.1
/** What is said in a room is counted by how many hear it, as of so long ago. */
const SIZE_MS = 1_000

/** The members of this node in one room: what its channel tells is handed to each of them. */
export class LocalRoom {
  readonly id: RoomId
  readonly entries = new Map<ConnectionId, Entry>()
  /** Settles when the room's channel is subscribed to. */
  readonly standing: Promise<void>
  /** What these members know of who is in. */
  readonly roster = new Roster()
  readonly #options: LocalRoomOptions
  /** Changes that the members of this node are told of together. */
  readonly #changes: MemberChange[] = []
  /** How many members there are on all nodes, and when that was asked for. */
  #size: { members: number | Promise<number>; askedAt: number } | undefined

  constructor(id: RoomId, standing: Promise<void>, options: LocalRoomOptions) {
    this.id = id
    this.standing = standing
    this.#options = options
  }

  /** Takes what the room's channel told. */
  hear(told: Told): void {
    if (told.type === 'change') this.change(told.member)
    else this.#hand(told.origin, told.frame)
  }

  #hand(origin: string, frame: string): void {
    const { pulse, sessions } = this.#options
    for (const connection of this.entries.keys()) {
      if (origin === originOf(pulse.id, connection)) continue
      sessions.get(connection)?.connection.send({ type: 'said', frame })
    }
  }

  /** Its members hear of it in a moment. */
  change(member: MemberChange): void {
    this.roster.told(member)
    this.#changes.push(member)
    if (this.#changes.length > 1) return
    const ms = Math.max(CHANGES_MS, CHANGES_MS_PER_MEMBER * this.entries.size)
    this.#options.clock.after(ms, () => this.#tellChanges())
  }

  #tellChanges(): void {
    for (const change of pages(roomOf(this.id), this.#changes.splice(0)))
      for (const connection of this.entries.keys()) this.#options.changes.tell(connection, change)
  }

  /**
   * How many members hear what is said. Known at once, but for the first time; then all who ask get their answer in the
   * order in which they asked.
   */
  reach(): number | Promise<number> {
    const { registry, clock, onError } = this.#options
    const now = clock.monotonic()
    const known = this.#size
    if (known !== undefined && now - known.askedAt < SIZE_MS) return known.members
    const asked = registry.size(this.id).then((members) => {
      this.#size = { members, askedAt: now }
      return members
    })
    const members = known?.members ?? asked
    this.#size = { members, askedAt: now }
    asked.catch((error: unknown) => {
      if (this.#size?.members === asked) this.#size = undefined
      // Who waits for it is told; who goes by the last number is not.
      else onError(error, { stage: 'room size' })
    })
    return members
  }
}
