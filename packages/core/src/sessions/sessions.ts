import type { CloseReason, ConnectionId, ErrorCode, Name, Peer, Room } from '@peerage/protocol'
import { parseConnectionId } from '@peerage/protocol'
import type { Lease } from '../names/registry.js'
import type { Message, Wire } from '../routing/message.js'

/** What a node may tell a peer. Each gateway encodes it for its wire, or leaves out what its wire has no word for. */
export type ServerMessage =
  /** What another peer sent: `message.frame` is already encoded for this wire. */
  | { type: 'relay'; message: Message }
  /** What became of a message this peer sent: `ref` is the sender's own word for it. */
  | { type: 'notice'; to: Name; ref: string; code: ErrorCode }
  /** A watched peer, or one that this peer waits for, changed. */
  | { type: 'presence'; name: Name; state: 'online' | 'away' | 'offline'; since?: number }
  /** What somebody said in a room: the frame is already encoded for the native wire, which alone has rooms. */
  | { type: 'said'; frame: string }
  /** What became of members of a room: one object for all who are told. */
  | RoomChange

export interface RoomChange {
  type: 'changed'
  room: Room
  members: MemberChange[]
}

export interface MemberChange {
  name: Name
  since: number
  state: 'joined' | 'left' | 'away'
}

/** One live socket, whatever its transport. */
export interface Connection {
  readonly id: ConnectionId
  /** The wire that it speaks: messages go only between peers of the same wire. */
  readonly wire: Wire
  /** So much of what it was sent waits to be read that a change would hardly be taken. */
  readonly isBehind: boolean
  /** False: its socket has ended or is closing, though the node may not have been told yet. */
  readonly isOpen: boolean
  /** False: gone, or too slow. Never throws, never blocks. */
  send(message: ServerMessage): boolean
  /** Tells the peer why, then ends the socket. Idempotent. */
  close(reason: CloseReason): void
}

/** A connection and the name that it holds. A field exists only in the states where it is valid. */
export type Session = OpeningSession | OnlineSession | ClosingSession

/** Connected, no name yet: it has until `deadline` (monotonic ms) to claim one. */
export interface OpeningSession {
  readonly state: 'opening'
  readonly connection: Connection
  readonly deadline: number
}

export interface OnlineSession {
  readonly state: 'online'
  readonly connection: Connection
  readonly peer: Peer
  readonly lease: Lease
}

/** Told to go; its socket has not ended yet. Nothing is routed from or to it. */
export interface ClosingSession {
  readonly state: 'closing'
  readonly connection: Connection
  readonly reason: CloseReason
}

export type SessionEvent =
  | { type: 'claimed'; lease: Lease }
  /** The same holder under a new lease: this node took a new NodeId. */
  | { type: 'moved'; lease: Lease }
  | { type: 'close'; reason: CloseReason }

/** The only way a session changes. An event that does not fit its state leaves it as it is. */
export function transition(session: Session, event: SessionEvent): Session {
  const { connection } = session
  switch (event.type) {
    case 'claimed':
      if (session.state !== 'opening') return session
      return { state: 'online', connection, peer: event.lease.peer, lease: event.lease }
    case 'moved':
      if (session.state !== 'online' || session.peer !== event.lease.peer) return session
      return { state: 'online', connection, peer: session.peer, lease: event.lease }
    case 'close':
      if (session.state === 'closing') return session
      return { state: 'closing', connection, reason: event.reason }
  }
}

/** All sessions of this node: by connection, and those online by peer. */
export class Sessions {
  readonly #byConnection = new Map<ConnectionId, Session>()
  readonly #byPeer = new Map<Peer, OnlineSession>()
  #serial = 0

  /** For a connection that is about to be made, on whichever wire: no other one of this node has it. */
  newId(): ConnectionId {
    this.#serial++
    const id = parseConnectionId(this.#serial.toString(36))
    if (!id.ok) throw new Error(id.problem)
    return id.value
  }

  open(connection: Connection, deadline: number): OpeningSession {
    const session: OpeningSession = { state: 'opening', connection, deadline }
    this.#byConnection.set(connection.id, session)
    return session
  }

  get(connection: ConnectionId): Session | undefined {
    return this.#byConnection.get(connection)
  }

  online(peer: Peer): OnlineSession | undefined {
    return this.#byPeer.get(peer)
  }

  apply(connection: ConnectionId, event: SessionEvent): Session | undefined {
    const before = this.#byConnection.get(connection)
    if (before === undefined) return undefined
    const after = transition(before, event)
    if (after === before) return before
    this.#byConnection.set(connection, after)
    this.#index(before, after)
    return after
  }

  /** This node took a new NodeId, and the name of this peer followed. */
  move(lease: Lease): void {
    const session = this.#byPeer.get(lease.peer)
    if (session) this.apply(session.connection.id, { type: 'moved', lease })
  }

  /** Closes a session, and tells its peer why. */
  close(session: Session, reason: CloseReason): void {
    this.apply(session.connection.id, { type: 'close', reason })
    session.connection.close(reason)
  }

  /** Closes who has not claimed a name by its deadline; `now` on the monotonic clock. */
  closeOverdue(now: number): void {
    for (const session of this.#byConnection.values())
      if (session.state === 'opening' && session.deadline <= now) this.close(session, 'claim-timeout')
  }

  /** Forgets a connection whose socket has ended, and says what it was. */
  remove(connection: ConnectionId): Session | undefined {
    const session = this.#byConnection.get(connection)
    if (session === undefined) return undefined
    this.#byConnection.delete(connection)
    this.#index(session, undefined)
    return session
  }

  *all(): IterableIterator<Session> {
    yield* this.#byConnection.values()
  }

  *allOnline(): IterableIterator<OnlineSession> {
    yield* this.#byPeer.values()
  }

  get count(): number {
    return this.#byConnection.size
  }

  get onlineCount(): number {
    return this.#byPeer.size
  }

  // The index holds the newest session of a peer: a late end of an older one must not take it out.
  #index(before: Session, after: Session | undefined): void {
    if (before.state === 'online' && this.#byPeer.get(before.peer) === before)
      this.#byPeer.delete(before.peer)
    if (after?.state === 'online') this.#byPeer.set(after.peer, after)
  }
}
