import type { CloseReason, ConnectionId, Peer } from '@peerage/protocol'
import type { Connection } from './connection.js'
import type { OnlineSession, OpeningSession, Session, SessionEvent } from './session.js'
import { transition } from './session.js'

/** All sessions of this node: by connection, and those online by peer. */
export class Sessions {
  readonly #byConnection = new Map<ConnectionId, Session>()
  readonly #byPeer = new Map<Peer, OnlineSession>()

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

  /** Closes a session, and tells its peer why. */
  close(session: Session, reason: CloseReason): void {
    this.apply(session.connection.id, { type: 'close', reason })
    session.connection.close(reason)
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

  // The index holds the newest stay of a peer: a late end of an older one must not take it out.
  #index(before: Session, after: Session | undefined): void {
    if (before.state === 'online' && this.#byPeer.get(before.peer) === before)
      this.#byPeer.delete(before.peer)
    if (after?.state === 'online') this.#byPeer.set(after.peer, after)
  }
}
