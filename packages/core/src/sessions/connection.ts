import type { CloseReason, ConnectionId, ErrorCode, Name, Room } from '@peerage/protocol'
import type { Message } from '../routing/message.js'

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
  members: { name: Name; since: number; state: 'joined' | 'left' | 'away' }[]
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

export type Wire = 'native' | 'peerjs'
