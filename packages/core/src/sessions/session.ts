import type { CloseReason, Peer } from '@peerage/protocol'
import type { Connection } from './connection.js'
import type { Lease } from '../names/registry.js'

/** A peer's stay on this node. A field exists only in the states where it is valid. */
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
  /** The same stay under a new lease: this node took a new NodeId. */
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
