import type { Name, NodeMessageOf, PeerMessage, PresenceState, Room as RoomName } from '@peerage/protocol'
import { limits, parseRoom } from '@peerage/protocol'
import { encodeBody } from '../delivery/body.js'
import { checkAlone } from '../lib/check.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import { parsedOrThrow } from '../lib/names.js'
import type { Answer } from '../tier/requests.js'
import { mayBeAskedAgain, okOrThrow } from '../tier/requests.js'
import { Retry } from '../lib/retry.js'
import type { MessageAbout } from '../tier/events.js'
import type { Session } from '../tier/session.js'

/** A member of a room. */
export interface RoomMember {
  /** The name of the peer. */
  name: Name
  /** When the peer claimed the name, in milliseconds of Redis time. It identifies this holder of the name. */
  since: number
  /** `online`, or `away` while its connection is down. */
  state: PresenceState
}

// This is a type and not an interface because the emitter needs an index signature.
/** The events of a room. Each value is the list of arguments of the event's listeners. */
export type RoomEvents = {
  /**
   * Another member, or an application server, has sent `data` to the room. `about` says more about the sender; see
   * `MessageAbout`. A message arrives at most once: if it is sent while this peer's connection is down, it is lost.
   */
  message: [from: string, data: unknown, about: MessageAbout]
  /** A member has joined (or is online again), has left, or is away because its connection is down. */
  member: [change: { name: Name; since: number; state: 'joined' | 'left' | 'away' }]
}

const TOO_LARGE =
  'the message is larger than one frame, so it was not sent; divide it, or send it over channels (`mesh`)'
const ROOM_EVENTS = { message: true, member: true } as const

/**
 * All Room objects of this page or process. A node counts one membership for each peer and room, however many Room objects
 * the application has for it.
 */
const joined = new Set<Room>()

/**
 * A room that this peer has joined. It has a list of members, and sends messages to all of them through the nodes. The
 * SDK reads the list again after each reconnect (packages/protocol/SPEC.md, WR7). A room has at most 10,000 members, and a
 * peer is in at most 64 rooms (WR8). `peer.join` returns it.
 * @example
 * const room = await peer.join('lobby')
 * room.on('member', ({ name, state }) => console.log(`${name} ${state}`))
 * room.on('message', (from, data) => console.log(from, data))
 * await room.send({ text: 'hello' })
 * await room.leave()
 */
export class Room {
  /** The name of the room. */
  readonly name: string
  readonly #room: RoomName
  readonly #session: Session
  readonly #members = new Map<Name, RoomMember>()
  readonly #events: Emitter<RoomEvents>
  readonly #stops: (() => void)[] = []
  #left = false
  /** How many reads of the list are under way. Changes wait until they end, because a change may be newer than a page. */
  #readings = 0
  readonly #meanwhile: RoomEvents['member'][0][] = []
  /** Joins again if that failed after a reconnect, because the node does not know the membership until then. */
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
      session.onRoom((message) => this.#receive(message)),
      session.onWelcome(() => {
        this.#retry.stop()
        void this.#reconcile()
      }),
      session.onClosed(stop),
      stop,
    )
  }

  /**
   * Joins a room. Resolves when this peer receives every message sent to the room from then on. `peer.join` calls it.
   * @throws PeerageError `bad-name`, `too-many`, `rate-limited`, `timeout`, …; the signal's reason when it aborts
   * @internal
   */
  static async join(session: Session, name: string, signal?: AbortSignal): Promise<Room> {
    const room = new Room(session, parsedOrThrow(name, 'room', parseRoom))
    try {
      await room.#enter(signal)
    } catch (error) {
      // The node may have added this peer although we did not wait for its answer.
      void room.leave()
      throw error
    }
    return room
  }

  /**
   * The members, this peer included. When `join` resolves, these are all members that joined before. The list follows
   * later changes within moments, and a `member` event reports each. Empty after `leave`.
   */
  get members(): RoomMember[] {
    return [...this.#members.values()]
  }

  /**
   * Calls `listener` at each `event`. Returns a function that removes the listener. An error that a listener throws
   * becomes an `error` event of the peer. After `leave`, no event comes any more, and a new listener is not an error.
   * @throws TypeError for an event that does not exist
   */
  on<K extends keyof RoomEvents>(event: K, listener: (...args: RoomEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /**
   * Sends `data` to every other member that is online now. `data` is a JSON value, a string, or bytes, and must fit into
   * one frame: at most 49,151 characters of ASCII, or 36,861 bytes. Resolves when the node has accepted the message, not
   * when the members have received it. Each member gets it at most once.
   * @throws PeerageError such as `closed` after `leave`, `too-large`, `rate-limited` (WR10) or `timeout` (no answer of the
   * node within 5 s)
   * @throws TypeError if JSON cannot hold `data` (see `peer.send`), and for a second argument
   */
  send(data: unknown): Promise<void>
  async send(data: unknown, ...more: unknown[]): Promise<void> {
    checkAlone(more, 'room.send(data) sends to every member, and takes nothing but the data')
    if (this.#left) throw new PeerageError('closed', 'this peer has left the room')
    const body = encodeBody(data)
    if (body === undefined) throw new PeerageError('too-large', TOO_LARGE)
    okOrThrow(await this.#ask((id) => ({ type: 'say', id, room: this.#room, body })))
  }

  /**
   * Leaves the room. This Room then has no members and no events. If the application has joined the room more than once,
   * the peer stays a member until `leave` of the last Room object. You may call it again.
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

  /** Joins the room and reads the whole list of members. */
  async #read(signal?: AbortSignal): Promise<Map<Name, RoomMember>> {
    const first = okOrThrow(await this.#ask((id) => ({ type: 'join', id, room: this.#room }), signal), signal)
    const seen = new Map<Name, RoomMember>()
    for (let page = first; page.type === 'roomed';) {
      const before = seen.size
      for (const { name, since = 0, state } of page.members) seen.set(name, { name, since, state })
      const after = page.members.at(-1)?.name
      // If a node repeats a page, we stop, because we would ask it for ever.
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
      this.#session.onError(error, 'node')
      if (!(error instanceof PeerageError)) return
      if (mayBeAskedAgain(error.code)) this.#retry.failed()
      // This peer is no member. The next connection may have a token that allows the room, so the SDK then asks again.
      else if (error.code === 'forbidden' || error.code === 'too-many') this.#compare(new Map())
    }
  }

  /** Compares the list with the known members, and handles each difference as a change that a node reported. */
  #compare(seen: Map<Name, RoomMember>): void {
    for (const [name, member] of this.#members)
      if (seen.get(name)?.since !== member.since) this.#change({ name, since: member.since, state: 'left' })
    for (const { name, since, state } of seen.values())
      if (this.#members.get(name)?.state !== state)
        this.#change({ name, since, state: state === 'online' ? 'joined' : 'away' })
  }

  #receive(message: NodeMessageOf<'changed' | 'said'>): void {
    if (message.room !== this.#room || this.#left) return
    if (message.type === 'changed') {
      if (this.#readings > 0) this.#meanwhile.push(...message.members)
      else for (const change of message.members) this.#change(change)
      // The node has ended the membership, because a new token does not allow it [WR15]. To join again tells why.
      if (message.members.some((change) => this.#isOwnEnd(change))) void this.#reconcile()
      return
    }
    const read = this.#session.read(message)
    if (read) this.#events.emit('message', message.from, read.data, read.about)
  }

  #isOwnEnd({ name, since, state }: RoomEvents['member'][0]): boolean {
    const own = this.#session.welcome
    return state === 'left' && name === own.name && since === own.since
  }

  #change({ name, since, state }: RoomEvents['member'][0]): void {
    const known = this.#members.get(name)
    // The change is late: it concerns a former holder of the name.
    if (known && since < known.since) return
    if (state === 'left') {
      if (!known) return
      this.#members.delete(name)
    } else {
      const now = state === 'joined' ? 'online' : 'away'
      if (known?.state === now && known.since === since) return
      // Frozen, because `members` hands these objects out.
      this.#members.set(name, Object.freeze({ name, since, state: now }))
    }
    this.#events.emit('member', { name, since, state })
  }

  #end(): void {
    this.#left = true
    for (const stop of this.#stops) stop()
    this.#members.clear()
  }
}
