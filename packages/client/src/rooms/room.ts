import type { Name, NodeMessageOf, PeerMessage, PresenceState, Room as RoomName } from '@peerage/protocol'
import { limits, parseRoom } from '@peerage/protocol'
import { encodeBody } from '../delivery/body.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import { parsedOrThrow } from '../lib/names.js'
import type { Answer } from '../tier/requests.js'
import { mayBeAskedAgain, okOrThrow } from '../tier/requests.js'
import { Retry } from '../lib/retry.js'
import type { Session } from '../tier/session.js'

/** A member of a room, and how it is. `since` tells one holder of a name from the next. */
export interface RoomMember {
  name: Name
  since: number
  state: PresenceState
}

// A type, not an interface: the emitter asks for an index signature.
export type RoomEvents = {
  /** At most once: what is said while a connection is down is not said again. */
  message: [from: string, data: unknown, about: { since: number }]
  /** A member joined (or is back), left, or is away. */
  member: [change: { name: Name; since: number; state: 'joined' | 'left' | 'away' }]
}

const TOO_LARGE =
  'it is larger than one frame may be, so nothing was said; divide it, or send it over channels (`mesh`)'
const ROOM_EVENTS = { message: true, member: true } as const

/** Every room that a peer of this page or process is in. A node knows one membership, however often it was joined. */
const joined = new Set<Room>()

/** A room that this peer is in. The list of members is the truth; after each reconnect it is read again. */
export class Room {
  readonly name: string
  readonly #room: RoomName
  readonly #session: Session
  readonly #members = new Map<Name, RoomMember>()
  readonly #events: Emitter<RoomEvents>
  readonly #stops: (() => void)[] = []
  #left = false
  /** How often the list is being read now. Changes wait until it is: they may be newer than what was read. */
  #readings = 0
  readonly #meanwhile: RoomEvents['member'][0][] = []
  /** What a node could not answer after a reconnect is asked again: the room would hear nothing till the next one. */
  readonly #retry: Retry

  private constructor(session: Session, room: RoomName) {
    this.name = room
    this.#room = room
    this.#session = session
    joined.add(this)
    this.#events = new Emitter(ROOM_EVENTS, (error) => session.onError(error, 'listener'))
    this.#retry = new Retry(session.clock, () => void this.#reconcile())
    const stop = (): void => {
      this.#retry.stop()
      joined.delete(this)
    }
    this.#stops.push(
      session.onRoom((message) => this.#heard(message)),
      session.onWelcome(() => {
        this.#retry.stop()
        void this.#reconcile()
      }),
      session.onClosed(stop),
      stop,
    )
  }

  /** Resolves when this peer hears what is said from now on. Rejects with a PeerageError. */
  static async join(session: Session, name: string, signal?: AbortSignal): Promise<Room> {
    const room = new Room(session, parsedOrThrow(name, 'room', parseRoom))
    try {
      await room.#enter(signal)
    } catch (error) {
      // Where the answer was not waited for, the node may have it as a member.
      void room.leave()
      throw error
    }
    return room
  }

  /** Everyone who is in, this peer included. */
  get members(): RoomMember[] {
    return [...this.#members.values()]
  }

  on<K extends keyof RoomEvents>(event: K, listener: (...args: RoomEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /** To every other member that is connected now. Resolves when the tier has taken it; rejects with a PeerageError. */
  async send(data: unknown): Promise<void> {
    if (this.#left) throw new PeerageError('closed', 'this peer has left the room')
    const body = encodeBody(data)
    if (body === undefined) throw new PeerageError('too-large', TOO_LARGE)
    okOrThrow(await this.#ask((id) => ({ type: 'say', id, room: this.#room, body })))
  }

  /**
   * Leaves the room, unless this peer has joined it more than once: then the others stay. What was never joined, or
   * left before, is no error.
   */
  async leave(): Promise<void> {
    if (this.#left) return
    this.#end()
    for (const other of joined) if (other.#session === this.#session && other.#room === this.#room) return
    await this.#ask((id) => ({ type: 'part', id, room: this.#room }))
  }

  #ask(frameOf: (id: number) => PeerMessage, signal?: AbortSignal): Promise<Answer> {
    return this.#session.requests.ask(frameOf, signal)
  }

  async #enter(signal?: AbortSignal): Promise<void> {
    this.#readings++
    try {
      this.#compare(await this.#read(signal))
    } finally {
      this.#readings--
      if (this.#readings === 0) for (const change of this.#meanwhile.splice(0)) this.#change(change)
    }
  }

  /** Joins, and reads the whole list. */
  async #read(signal?: AbortSignal): Promise<Map<Name, RoomMember>> {
    const first = okOrThrow(await this.#ask((id) => ({ type: 'join', id, room: this.#room }), signal), signal)
    const seen = new Map<Name, RoomMember>()
    for (let page = first; page.type === 'roomed';) {
      const before = seen.size
      for (const { name, since = 0, state } of page.members) seen.set(name, { name, since, state })
      const after = page.members.at(-1)?.name
      // A node that says the same again would be asked for ever.
      if (!page.more || after === undefined || seen.size === before || seen.size > limits.membersPerRoom)
        break
      page = okOrThrow(
        await this.#ask((id) => ({ type: 'members', id, room: this.#room, after }), signal),
        signal,
      )
    }
    return seen
  }

  async #reconcile(): Promise<void> {
    if (this.#left) return
    try {
      await this.#enter()
      this.#retry.stop()
    } catch (error) {
      if (this.#left) return
      this.#session.onError(error)
      if (error instanceof PeerageError && mayBeAskedAgain(error.code)) this.#retry.failed()
    }
  }

  /** What the list says against what was heard: the difference is told as if it had been heard. */
  #compare(seen: Map<Name, RoomMember>): void {
    for (const [name, member] of this.#members)
      if (seen.get(name)?.since !== member.since) this.#change({ name, since: member.since, state: 'left' })
    for (const { name, since, state } of seen.values())
      if (this.#members.get(name)?.state !== state)
        this.#change({ name, since, state: state === 'online' ? 'joined' : 'away' })
  }

  #heard(message: NodeMessageOf<'changed' | 'said'>): void {
    if (message.room !== this.#room || this.#left) return
    if (message.type === 'changed') {
      if (this.#readings > 0) this.#meanwhile.push(...message.members)
      else for (const change of message.members) this.#change(change)
      return
    }
    const { from, since, body } = message
    const read = this.#session.read(from, body)
    if (read) this.#events.emit('message', from, read.data, { since })
  }

  #change({ name, since, state }: RoomEvents['member'][0]): void {
    const known = this.#members.get(name)
    // A late word about a former holder.
    if (known && since < known.since) return
    if (state === 'left') {
      if (!known) return
      this.#members.delete(name)
    } else {
      const now = state === 'joined' ? 'online' : 'away'
      if (known?.state === now && known.since === since) return
      this.#members.set(name, { name, since, state: now })
    }
    this.#events.emit('member', { name, since, state })
  }

  #end(): void {
    this.#left = true
    for (const stop of this.#stops) stop()
    this.#members.clear()
  }
}
