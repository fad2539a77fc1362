import type { App, CloseReason, ConnectionId, ErrorCode, Name, Peer, Room, RoomId } from '@peerage/protocol'
import { appOf, parseConnectionId } from '@peerage/protocol'
import type { Lease } from '../names/registry.js'
import type { Message, Wire } from '../routing/message.js'

/**
 * What a node may tell a peer. Each gateway encodes each type for its wire, or ignores a type that its wire has no
 * frame for. A switch over `type` should be exhaustive.
 */
export type ServerMessage =
  /** A message of another peer. `message.frame` is already encoded for this wire: write it as it is. */
  | { type: 'relay'; message: Message }
  /** A message that this peer sent was refused. `ref` is the sender's own reference to it. */
  | { type: 'notice'; to: Name; ref: string; code: ErrorCode }
  /** A peer that this peer watches has changed. */
  | { type: 'presence'; name: Name; state: 'online' | 'away' | 'offline'; since?: number }
  /** A message in a room of peers with names. Only the native wire has these, and the frame is already encoded for it. */
  | { type: 'said'; frame: string }
  /**
   * A message in a room of connections without names. All connections of this node share one object. `text`: what the
   * sender's gateway passed. `to`: the member that it is for, in the wire's own words, if it is for one. `members`: how
   * many connections were in the room.
   */
  | RoomText
  /** A frame for this connection as a member of a pool. It is already encoded for this wire. */
  | { type: 'handed'; frame: string }
  /** Members of a room have changed. All connections that are told share one object. */
  | RoomChange

export interface RoomText {
  type: 'published'
  room: RoomId
  text: string
  to: string | undefined
  members: number
  /** The connection that sent it, if it is one of this node. */
  sender: ConnectionId | undefined
}

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

/** One live socket, whatever its transport. Each gateway implements it, and passes it to `Node.open`. */
export interface Connection {
  readonly id: ConnectionId
  /** The wire that it speaks. The router delivers only between peers of the same wire. */
  readonly wire: Wire
  /** True while so many sent bytes are still unread that `send` would probably return false. */
  readonly isBehind: boolean
  /** False when its socket has ended or is closing, even if the node has not been told yet. */
  readonly isOpen: boolean
  /**
   * True: the peer cannot come back for what it has here, so its connection always ends as `left`. A node that stops then
   * keeps nothing for it. A node closes it with `registry-unavailable` if others may count it as gone already, because the
   * node was cut off from the registry for long.
   */
  readonly leavesAtEnd?: boolean
  /**
   * Queues the message for the peer. Returns false if the connection is gone or its peer reads too slowly; then the
   * message was not taken. Never throws, never blocks.
   */
  send(message: ServerMessage): boolean
  /**
   * Tells the peer why, then ends the socket. Idempotent. The gateway still calls `Node.end` when the socket has
   * ended.
   */
  close(reason: CloseReason, options?: CloseOptions): void
}

/** The close code and text in place of those of the reason. Only with `disconnected`. */
export interface CloseOptions {
  code?: number
  text?: string
}

/** What the access rules know of a peer, by which an application server can disconnect it. */
export interface Holder {
  identity?: string
  tokenId?: string
  /** When its token was issued (Unix ms). */
  issuedAt?: number
}

/** A connection and the name that it holds. A field exists only in the states where it is valid. */
export type Session = OpeningSession | OnlineSession | AnonymousSession | ClosingSession

/** The peer has been let in. */
export type AdmittedSession = OnlineSession | AnonymousSession

/** The connection has no name yet. It must claim one by `deadline` (monotonic ms). */
export interface OpeningSession {
  readonly state: 'opening'
  readonly connection: Connection
  /** Monotonic ms, as `deadline`. */
  readonly openedAt: number
  readonly deadline: number
}

export interface OnlineSession {
  readonly state: 'online'
  readonly connection: Connection
  readonly peer: Peer
  readonly lease: Lease
  readonly holder?: Holder
}

/** A connection that needs no name, on a wire whose peers have none. It is in an app, and may be in rooms and pools. */
export interface AnonymousSession {
  readonly state: 'anonymous'
  readonly connection: Connection
  readonly app: App
  readonly holder?: Holder
}

/** The node has closed the connection, but its socket has not ended yet. No message is routed from it or to it. */
export interface ClosingSession {
  readonly state: 'closing'
  readonly connection: Connection
  readonly reason: CloseReason
}

export type SessionEvent =
  | { type: 'claimed'; lease: Lease; holder?: Holder }
  /** The connection comes in without a name. */
  | { type: 'admitted'; app: App; holder?: Holder }
  /** The same holder has a new lease, because this node took a new NodeId. */
  | { type: 'moved'; lease: Lease }
  /** The peer has renewed its access, perhaps with another token. */
  | { type: 'renewed'; holder: Holder }
  | { type: 'close'; reason: CloseReason }

export function appOfSession(session: AdmittedSession): App {
  return session.state === 'online' ? appOf(session.peer) : session.app
}

/** The only way a session changes. An event that does not fit its state leaves it unchanged. */
export function transition(session: Session, event: SessionEvent): Session {
  const { connection } = session
  switch (event.type) {
    case 'claimed':
      if (session.state !== 'opening') return session
      return { ...onlineWith(connection, event.lease), ...heldBy(event.holder) }
    case 'admitted':
      if (session.state !== 'opening') return session
      return { state: 'anonymous', connection, app: event.app, ...heldBy(event.holder) }
    case 'moved':
      if (session.state !== 'online' || session.peer !== event.lease.peer) return session
      return { ...onlineWith(connection, event.lease), ...heldBy(session.holder) }
    case 'renewed':
      if (session.state === 'anonymous') return { ...session, holder: event.holder }
      if (session.state !== 'online') return session
      return { ...onlineWith(connection, session.lease), holder: event.holder }
    case 'close':
      if (session.state === 'closing') return session
      return { state: 'closing', connection, reason: event.reason }
  }
}

function onlineWith(connection: Connection, lease: Lease): OnlineSession {
  return { state: 'online', connection, peer: lease.peer, lease }
}

function heldBy(holder: Holder | undefined): { holder?: Holder } {
  return holder === undefined ? {} : { holder }
}

/** All sessions of this node, by connection, and the online ones also by peer. */
export class Sessions {
  readonly #byConnection = new Map<ConnectionId, Session>()
  readonly #byPeer = new Map<Peer, OnlineSession>()
  #anonymousCount = 0
  #serial = 0

  /** An id for a new connection of any wire, unique in this node. */
  newId(): ConnectionId {
    this.#serial++
    const id = parseConnectionId(this.#serial.toString(36))
    if (!id.ok) throw new Error(id.problem)
    return id.value
  }

  /** The times are monotonic (ms). */
  open(connection: Connection, openedAt: number, deadline: number): OpeningSession {
    const session: OpeningSession = { state: 'opening', connection, openedAt, deadline }
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

  /** This node took a new NodeId, and the peer's name moved to it. */
  move(lease: Lease): void {
    const session = this.#byPeer.get(lease.peer)
    if (session) this.apply(session.connection.id, { type: 'moved', lease })
  }

  /**
   * Closes a session without a lease, or one whose lease the caller has ended, and tells its peer why. Nothing ends a lease
   * when the socket of a closing session ends. To close a peer that still holds its name, close its connection.
   */
  close(session: Session, reason: CloseReason): void {
    this.apply(session.connection.id, { type: 'close', reason })
    session.connection.close(reason)
  }

  /** Closes the sessions that have not claimed a name by their deadline. `now` is monotonic (ms). */
  closeOverdue(now: number): void {
    for (const session of this.#byConnection.values())
      if (session.state === 'opening' && session.deadline <= now) this.close(session, 'claim-timeout')
  }

  /** Forgets a connection whose socket has ended, and returns its last session. */
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

  /** The sessions of all peers that have been let in: with a name, then without one. */
  *allAdmitted(): IterableIterator<AdmittedSession> {
    yield* this.#byPeer.values()
    if (this.#anonymousCount === 0) return
    for (const session of this.#byConnection.values()) if (session.state === 'anonymous') yield session
  }

  get count(): number {
    return this.#byConnection.size
  }

  get onlineCount(): number {
    return this.#byPeer.size
  }

  get anonymousCount(): number {
    return this.#anonymousCount
  }

  // The index holds the newest session of a peer, so the late end of an older one must not remove it.
  #index(before: Session, after: Session | undefined): void {
    if (before.state === 'online' && this.#byPeer.get(before.peer) === before)
      this.#byPeer.delete(before.peer)
    if (after?.state === 'online') this.#byPeer.set(after.peer, after)
    if (before.state === 'anonymous') this.#anonymousCount--
    if (after?.state === 'anonymous') this.#anonymousCount++
  }
}
