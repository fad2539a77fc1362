import type { ConnectionId, RoomId } from '@peerage/protocol'
import type { AnonymousSession } from '../sessions/sessions.js'

/** `too-many`: the connection, or this node, is in too many rooms. `parted`: it left, or its connection ended, meanwhile. */
export type AnonymousJoin = 'joined' | 'too-many' | 'parted'

/**
 * Rooms of connections without names. Nobody lists the members, so the registry holds nothing of them: there is only the
 * room's channel. Each node counts its own members, and tells the others how many they are.
 */
export class AnonymousRooms {
  /** Resolves when the connection gets every message from then on. Rejects with RegistryUnavailable: then it is no member. */
  join(_session: AnonymousSession, _room: RoomId): Promise<AnonymousJoin> {
    throw new Error('not built yet')
  }

  /** Returns false if the connection was not in the room. */
  part(_connection: ConnectionId, _room: RoomId): boolean {
    throw new Error('not built yet')
  }

  has(_connection: ConnectionId, _room: RoomId): boolean {
    throw new Error('not built yet')
  }

  /** How many rooms the connection is in. */
  countOf(_connection: ConnectionId): number {
    throw new Error('not built yet')
  }

  /**
   * Sends a text to all members on all nodes, the sender included if it is one. Each gets `published`. `to`: the member
   * that it is for, in the wire's own words, 1 to 128 printable ASCII characters.
   */
  say(
    _session: AnonymousSession,
    _room: RoomId,
    _text: string,
    _to?: string,
  ): Promise<'sent' | 'unavailable'> {
    throw new Error('not built yet')
  }

  /**
   * Called with each connection that may have missed a message, because this node's subscriptions were in doubt. A wire
   * whose peers say nothing twice then closes the connection, so that the peer begins anew.
   */
  onMissed(_listener: (connection: ConnectionId, room: RoomId) => void): void {
    throw new Error('not built yet')
  }
}
