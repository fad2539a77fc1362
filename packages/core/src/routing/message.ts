import type { App, ConnectionId, ErrorCode, Name, NodeId, Peer, RoomId } from '@peerage/protocol'

/**
 * The wire that a connection speaks. Messages go only between peers of the same wire. A gateway for another wire adds
 * its name here, and a letter in `WIRE_CODES` of record.ts.
 */
export type Wire = 'native' | 'peerjs' | 'y-webrtc' | 'webtorrent' | 'trystero' | 'matchbox'

/**
 * One message from one peer to another. The core reads the other fields and never the frame: the sender's gateway
 * encodes the frame once, and the recipient's gateway writes it unchanged.
 */
export interface Message {
  /** The sender's gateway takes it from the sender's session, never from the sender's frame [I13]. */
  from: Peer
  to: Peer
  wire: Wire
  /** Only the holder with this `since` may get the message. Absent: whoever holds the name. */
  since?: number
  /** Looks the recipient up in the registry, and ignores cached routes and a local session. For resends. */
  fresh?: boolean
  /** Keeps the message in the mailbox while the recipient is absent (PeerJS's five seconds). */
  hold?: boolean
  /** For metrics and logs. The sender of an `ack` is never told that it was refused. */
  kind: 'message' | 'signal' | 'ack'
  /** The handshake that a signal belongs to, for the logs of every node that handles it. */
  handshake?: string
  /**
   * The sender's connection, and the sender's own reference to this message. A notice about the message goes to that
   * connection. If the recipient has gone, the message returns to that connection's node. If it is absent, neither happens.
   */
  reply?: { node: NodeId; connection: ConnectionId; ref: string }
  /** The whole text frame for the recipient's socket. */
  frame: string
}

/**
 * Peers of an app: the one with this name, or all with this identity or with this token (see `Holder`).
 */
export type Whom = { name: Name } | { identity: string } | { tokenId: string }

/** What one node sends to another over the bus. */
export type Envelope =
  /** Deliver the message, if this node still holds `message.to` under `epoch` [I5]. */
  | { type: 'deliver'; epoch: number; hops: number; message: Message }
  /**
   * The node does not hold the name under `epoch`: the whole message comes back, and its first node looks up again.
   */
  | { type: 'gone'; epoch: number; hops: number; message: Message }
  /** A message was refused: tell the sender's connection. */
  | { type: 'notice'; connection: ConnectionId; to: Peer; ref: string; code: ErrorCode }
  /** The name was claimed elsewhere: close the session of this lease. The peer must not claim again by itself. */
  | { type: 'superseded'; peer: Peer; connection: ConnectionId; epoch: number }
  /** An older claim was written back against this lease [I10]: close its session. The peer may claim again. */
  | { type: 'evicted'; peer: Peer; connection: ConnectionId; epoch: number }
  /**
   * An application server disconnects peers: close their connections with this code and text. `before`: only peers whose
   * token was issued before this time (Unix ms), or whose time of issue is unknown.
   */
  | { type: 'disconnect'; app: App; whom: Whom; before?: number; code: number; text: string }
  /**
   * Hand a frame to one connection, if it still is the member `member` of the pool. It arrives at most once, and nobody
   * is told if it does not.
   */
  | { type: 'hand'; connection: ConnectionId; pool: RoomId; member: string; frame: string }
  /** The member `member` of the pool has had another connection since `since` (registry's ms). */
  | { type: 'moved'; connection: ConnectionId; pool: RoomId; member: string; since: number }
