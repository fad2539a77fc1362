import type { RoomChange } from '@peerage/core'
import type { Name, RoomId } from '@peerage/protocol'
import type { Self } from './wire.js'
import { encodeIdAssigned, encodeNewPeer, encodePeerLeft, offersTo } from './wire.js'

/** The connection of a peer of this node. */
interface Resident {
  readonly self: Self | undefined
  /** Whether the peer has been told its id. It gets no other frame before that. */
  hasId: boolean
  /** Writes a frame of the node. A peer that has no room for it is cut. */
  write(frame: string): boolean
}

/** How many peers a room remembers that are no members. */
const MAX_OTHERS = 1_024

/**
 * The members of one room, on all nodes, as the peers of this node know them. All peers of this node share it, so that each
 * of them learns of each member once, whichever of them the news came to [MB6].
 */
export class MatchboxRoom {
  readonly id: RoomId
  /** The connections of this node in the room. */
  readonly connections = new Set<Resident>()
  readonly #members = new Map<Name, Self>()
  /**
   * The last peers that are no members. `gone`: it has left, and a list or a signal from before that may still come. No
   * peer comes back under its name. `heard`: it has sent a signal, and a change that names it follows within a moment.
   */
  readonly #others = new Map<Name, 'gone' | 'heard'>()
  /** The last change that was handled. Every connection of this node gets the same object. */
  #change: RoomChange | undefined

  constructor(id: RoomId) {
    this.id = id
  }

  /** Whether a signal for this peer may be sent. */
  has(name: Name): boolean {
    return this.#members.has(name) || this.#others.get(name) === 'heard'
  }

  /** Tells a peer its id, and then the members that it must offer to. A second call does nothing. */
  welcome(connection: Resident): void {
    const { self, hasId } = connection
    if (self === undefined || hasId) return
    connection.hasId = true
    connection.write(encodeIdAssigned(self.name))
    for (const other of this.#members.values())
      if (offersTo(self, other)) connection.write(encodeNewPeer(other.name))
  }

  /** The room has this member. Of each pair, the peer that came first is told of the other one [MB6]. */
  meet({ name, since }: Self): void {
    if (this.#members.has(name) || this.#others.get(name) === 'gone') return
    const other = { name, since }
    this.#members.set(name, other)
    this.#others.delete(name)
    this.#tell(encodeNewPeer(name), (self) => offersTo(self, other))
  }

  /** A member that is away is a member until its membership ends. */
  changed(change: RoomChange): void {
    if (change === this.#change) return
    this.#change = change
    for (const member of change.members)
      if (member.state === 'left') this.#lose(member.name)
      else this.meet(member)
  }

  /**
   * Whether a signal from this peer may be handed to a peer of this node. The sender's node has seen that both are in the
   * room. This node may learn of the sender later than of its signal, so it remembers whom it may answer.
   */
  hears(from: Name): boolean {
    if (this.#others.get(from) === 'gone') return false
    if (!this.#members.has(from)) this.#note(from, 'heard')
    return true
  }

  #lose(name: Name): void {
    this.#note(name, 'gone')
    if (this.#members.delete(name)) this.#tell(encodePeerLeft(name), (self) => self.name !== name)
  }

  #tell(frame: string, isFor: (self: Self) => boolean): void {
    for (const connection of this.connections)
      if (connection.hasId && connection.self && isFor(connection.self)) connection.write(frame)
  }

  #note(name: Name, what: 'gone' | 'heard'): void {
    this.#others.set(name, what)
    const [oldest] = this.#others.keys()
    if (this.#others.size > MAX_OTHERS && oldest !== undefined) this.#others.delete(oldest)
  }
}
