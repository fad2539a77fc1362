import type { Name, NodeMessageOf, PeerMessage, PresenceState, Room as RoomName } from '@peerage/protocol'
import { limits, parseRoom } from '@peerage/protocol'
import { onAbort } from '../lib/abort.js'
import { encodeBody } from '../delivery/body.js'
import type { Channel } from '../p2p/channel/channel.js'
import { channelData, check } from '../lib/check.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import { parsedOrThrow } from '../lib/names.js'
import { Rates } from '../lib/rates.js'
import type { P2P } from '../p2p/p2p.js'
import type { Answer } from '../tier/requests.js'
import { mayBeAskedAgain, okOrThrow } from '../tier/requests.js'
import { Retry } from '../tier/retry.js'
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
    count(session, room, 1)
    this.#events = new Emitter(ROOM_EVENTS, (error) => session.onError(error, 'listener'))
    this.#retry = new Retry(session.clock, () => void this.#reconcile())
    this.#stops.push(
      session.onRoom((message) => this.#heard(message)),
      session.onWelcome(() => {
        this.#retry.stop()
        void this.#reconcile()
      }),
      session.onClosed(() => this.#retry.stop()),
      () => this.#retry.stop(),
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
    if (joinsOf(this.#session).get(this.#room)) return
    await this.#ask((id) => ({ type: 'part', id, room: this.#room }))
  }

  #ask(frameOf: (id: number) => PeerMessage, signal?: AbortSignal): Promise<Answer> {
    return this.#session.ask(frameOf, signal)
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
    count(this.#session, this.#room, -1)
    for (const stop of this.#stops) stop()
    this.#members.clear()
  }
}

const joins = new WeakMap<Session, Map<RoomName, number>>()

/** How often a peer has joined each room: a node knows one membership of it. */
function joinsOf(session: Session): Map<RoomName, number> {
  const known = joins.get(session) ?? new Map<RoomName, number>()
  joins.set(session, known)
  return known
}

function count(session: Session, room: RoomName, more: 1 | -1): void {
  const known = joinsOf(session)
  const now = (known.get(room) ?? 0) + more
  if (now > 0) known.set(room, now)
  else known.delete(room)
}

export type MeshEvents = {
  'channel-opened': [channel: Channel]
  'channel-closed': [channel: Channel, reason: string]
  message: [from: string, data: string | Uint8Array<ArrayBuffer>]
}

const MESH_EVENTS = { 'channel-opened': true, 'channel-closed': true, message: true } as const

/** Of two members the one with the lesser name calls; the other only when nothing has come for so long. */
const OTHER_CALLS_MS = 4_000
/** So many at once: who never answers holds a call, and what it has signalled, until the deadline. */
const CALLS_MAX = 16
const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 15_000

/** Channels to all members of a room, kept whole as they come and go. */
export class Mesh {
  readonly room: Room
  readonly #session: Session
  readonly #p2p: P2P
  readonly #events: Emitter<MeshEvents>
  readonly #channels = new Map<string, Channel>()
  readonly #calls = new Map<string, AbortController>()
  /** How many calls are under way, and what lets the others begin, in their order. */
  #underway = 0
  readonly #waiting: (() => void)[] = []
  /** A member that comes and goes, or closes each channel, must not make this peer call without end. */
  readonly #rate: Rates
  readonly #stops: (() => void)[] = []

  constructor(session: Session, p2p: P2P, room: Room) {
    this.room = room
    this.#session = session
    this.#p2p = p2p
    this.#rate = new Rates(session.clock)
    this.#events = new Emitter(MESH_EVENTS, (error) => session.onError(error, 'listener'))
    this.#stops.push(
      room.on('member', () => this.#mend()),
      p2p.on('channel-opened', (channel) => this.#opened(channel)),
      session.onClosed(() => this.#stop()),
    )
    for (const channel of p2p.channels) this.#opened(channel)
    this.#mend()
  }

  /** The open channels, by the name of their other end. */
  get channels(): ReadonlyMap<string, Channel> {
    return this.#channels
  }

  on<K extends keyof MeshEvents>(event: K, listener: (...args: MeshEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /** Over every open channel. Resolves when each has taken it or closed. */
  async send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<void> {
    check('data', data, channelData)
    await Promise.allSettled([...this.#channels.values()].map((channel) => channel.send(data)))
  }

  /** Leaves the room and closes the channels. */
  async close(): Promise<void> {
    this.#stop()
    const channels = [...this.#channels.values()]
    await Promise.all([this.room.leave(), ...channels.map((channel) => channel.close())])
  }

  #opened(channel: Channel): void {
    const { peer } = channel
    if (!this.#wanted().has(peer) || this.#channels.get(peer) === channel) return
    this.#channels.set(peer, channel)
    channel.on('message', (data) => this.#events.emit('message', peer, data))
    channel.on('close', (reason) => {
      if (this.#channels.get(peer) === channel) this.#channels.delete(peer)
      this.#events.emit('channel-closed', channel, reason)
      this.#mend()
    })
    this.#events.emit('channel-opened', channel)
  }

  #wanted(): Set<string> {
    const { name: self } = this.#session.self
    return new Set(
      this.room.members.flatMap(({ name, state }) => (name !== self && state === 'online' ? [name] : [])),
    )
  }

  #mend(): void {
    const wanted = this.#wanted()
    for (const [name, call] of this.#calls) if (!wanted.has(name)) call.abort()
    for (const name of wanted) {
      const open = this.#p2p.channel(name)
      if (open) this.#opened(open)
      else if (!this.#calls.has(name)) void this.#call(name)
    }
  }

  /** Calls until a channel is open, or nobody is there to be called any more. */
  async #call(name: string): Promise<void> {
    const call = new AbortController()
    this.#calls.set(name, call)
    let waitMs = this.#session.self.name < name ? 0 : OTHER_CALLS_MS
    while (!call.signal.aborted && !this.#channels.has(name)) {
      await this.#pause(waitMs, call.signal)
      if (call.signal.aborted || this.#channels.has(name)) break
      if (!this.#rate.take(name)) {
        waitMs = RETRY_FIRST_MS
        continue
      }
      await this.#connect(name, call.signal)
      waitMs = Math.min(RETRY_MOST_MS, Math.max(RETRY_FIRST_MS, waitMs * 2))
    }
    this.#calls.delete(name)
    // It left, and came again before this call had ended.
    if (call.signal.aborted && this.#stops.length > 0) this.#mend()
  }

  async #connect(name: string, signal: AbortSignal): Promise<void> {
    if (this.#underway >= CALLS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#underway++
    try {
      // Why it failed is the P2P controller's event; here it is tried again.
      if (!signal.aborted && !this.#channels.has(name))
        await this.#p2p.connect(name, { signal }).catch(() => undefined)
    } finally {
      this.#underway--
      this.#waiting.shift()?.()
    }
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel()
        ignore()
        resolve()
      }
      const timer = this.#session.clock.after(ms, end)
      const ignore = onAbort(signal, end)
    })
  }

  #stop(): void {
    for (const stop of this.#stops.splice(0)) stop()
    for (const call of this.#calls.values()) call.abort()
  }
}
