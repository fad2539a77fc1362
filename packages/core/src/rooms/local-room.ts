import type { ConnectionId, Name, RoomId } from '@peerage/protocol'
import { roomOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import type { MemberChange, Sessions } from '../sessions/sessions.js'
import type { Changes } from './changes.js'
import { pages } from './changes.js'
import type { Told } from './channel.js'
import { originOf } from './channel.js'
import type { Member, RoomRegistry } from './registry.js'
import type { Listed } from './roster.js'
import { Roster } from './roster.js'

export interface LocalRoomOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  registry: RoomRegistry
  sessions: Sessions
  clock: Clock
  graceMs: number
  changes: Changes
  /** `askEnds` must be called in `ms`, because a membership may end then. Undefined: no member is away. */
  nextEnd: (ms: number | undefined) => void
  onError: OnError
}

/** A connection in a room, from its join until it leaves. */
export interface Entry {
  readonly member: Member
  /** Joins without an answer yet. */
  joining: number
  /** Whether the membership is in the registry. */
  joined: boolean
  /** Until this time (monotonic ms) the registry keeps the membership, as far as this node knows. */
  keptUntil: number
  ended: 'no' | 'left' | 'dropped'
}

/** Changes are collected for this long, so a thousand peers that join at once make a few frames for each member. */
const CHANGES_MS = 50
/**
 * With more than five hundred members on this node, changes are collected for longer. Otherwise the node would spend most
 * of its time on telling them.
 */
const CHANGES_MS_PER_MEMBER = 0.1
/**
 * How old the known number of members may be. A rate limit counts a message in a room once for each member that gets it.
 */
const SIZE_MS = 1_000

/** The members of this node in one room. Everything on the room's channel is passed on to each of them. */
export class LocalRoom {
  readonly id: RoomId
  /** In which beat of a round its memberships are renewed. */
  readonly turn: number
  readonly entries = new Map<ConnectionId, Entry>()
  /** Settles when the subscription to the room's channel is active, or has failed. */
  readonly standing: Promise<void>
  /** The state of the room's members as the members on this node know it. */
  readonly roster = new Roster()
  readonly #options: LocalRoomOptions
  /** Changes that the members of this node will be told of together. */
  readonly #changes: MemberChange[] = []
  /** Members that are away, and the monotonic time at which the registry is asked whether they have left. */
  readonly #away = new Map<Name, { since: number; askAt: number }>()
  /** How many members there are on all nodes, and when we asked. */
  #size: { members: number | Promise<number>; askedAt: number } | undefined

  constructor(id: RoomId, turn: number, standing: Promise<void>, options: LocalRoomOptions) {
    this.id = id
    this.turn = turn
    this.standing = standing
    this.#options = options
  }

  /** Handles a message from the room's channel. */
  hear(told: Told): void {
    if (told.type === 'change') this.change(told.member)
    else this.#hand(told.origin, told.frame)
  }

  /** One member has read this page of the list. */
  listed(members: readonly Listed[]): void {
    this.roster.listed(members, this.entries.size > 1)
    for (const { name, since, state } of members)
      if (state === 'away' && this.#away.get(name)?.since !== since) this.#await(name, since, 0)
  }

  #hand(origin: string, frame: string): void {
    const { heartbeat, sessions } = this.#options
    for (const connection of this.entries.keys()) {
      if (origin === originOf(heartbeat.id, connection)) continue
      sessions.get(connection)?.connection.send({ type: 'said', frame })
    }
  }

  /** Tells the members of this node a moment later, together with other changes. */
  change(member: MemberChange): void {
    const { name, since, state } = member
    this.roster.told(member)
    const isLate = (this.#away.get(name)?.since ?? since) > since
    if (state === 'away' && !isLate) this.#await(name, since, this.#options.graceMs)
    else if (!isLate && this.#away.delete(name) && this.#away.size === 0) this.#options.nextEnd(undefined)
    this.#changes.push(member)
    if (this.#changes.length > 1) return
    const ms = Math.max(CHANGES_MS, CHANGES_MS_PER_MEMBER * this.entries.size)
    this.#options.clock.after(ms, () => this.#tellChanges())
  }

  #await(name: Name, since: number, ms: number): void {
    this.#away.set(name, { since, askAt: this.#options.clock.monotonic() + ms })
    this.#options.nextEnd(ms)
  }

  /**
   * Asks the registry whether the members whose time has come have left, because nothing reports the end of a
   * membership. Rejects with RegistryUnavailable. Then a comparison with the list finds out [I15].
   */
  async askEnds(): Promise<void> {
    const now = this.#options.clock.monotonic()
    const due = [...this.#away].filter(([, { askAt }]) => askAt <= now)
    try {
      const members = due.map(([name, { since }]) => ({ name, since }))
      const ends = members.length === 0 ? [] : await this.#options.registry.endsIn(this.id, members)
      for (const [i, [name, asked]] of due.entries()) {
        // It came back meanwhile, or another holder is a member.
        if (this.#away.get(name) !== asked) continue
        const ms = ends[i] ?? 0
        if (ms > 0) this.#await(name, asked.since, ms)
        else this.change({ name, since: asked.since, state: 'left' })
      }
    } finally {
      for (const [name, asked] of due) if (this.#away.get(name) === asked) this.#away.delete(name)
      let next = Number.POSITIVE_INFINITY
      for (const { askAt } of this.#away.values()) next = Math.min(next, askAt)
      if (this.#away.size > 0) this.#options.nextEnd(Math.max(0, next - this.#options.clock.monotonic()))
    }
  }

  #tellChanges(): void {
    for (const change of pages(roomOf(this.id), this.#changes.splice(0)))
      for (const connection of this.entries.keys()) this.#options.changes.tell(connection, change)
  }

  /**
   * How many members get a message. It is synchronous except for the first time. Then all callers get their answer in the
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
      // A caller that waits gets the rejection. Callers that got the last number do not.
      else onError(error, { stage: 'room size' })
    })
    return members
  }
}
