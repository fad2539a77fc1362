import type { ConnectionId, ErrorCode, NodeId, Peer } from '@peerage/protocol'

/** What a connection speaks: messages go only between peers of the same wire. */
export type Wire = 'native' | 'peerjs'

/**
 * One message from one peer to another, on its way. The core reads the header and never the frame: the
 * gateway that took it in has encoded the frame once, the gateway that hands it out writes it as it is.
 */
export interface Message {
  /** Stamped by the node that holds the sender [I13]. */
  from: Peer
  to: Peer
  wire: Wire
  /** Bound to the holder who claimed then; absent: whoever holds the name. */
  since?: number
  /** Past every cache, and past a local session: for resends. */
  fresh?: boolean
  /** Kept in the mailbox while the recipient is absent (PeerJS's five seconds). */
  hold?: boolean
  /** For metrics and logs. */
  kind: 'message' | 'signal' | 'ack'
  /** The handshake that a signal belongs to, for the logs of all nodes on its way. */
  handshake?: string
  /**
   * Where it comes back to when its recipient is gone, and where a notice goes, with the sender's own word for this
   * message; absent: neither is wanted.
   */
  reply?: { node: NodeId; connection: ConnectionId; ref: string }
  /** The whole text frame for the recipient's socket. */
  frame: string
}

/** What one node says to another, over the bus. */
export type Envelope =
  /** Deliver to the holder of `message.to`, if that one still holds it under `epoch` [I5]. */
  | { type: 'deliver'; epoch: number; hops: number; message: Message }
  /** Nobody here holds the name under `epoch`: the message comes back whole, so that its origin can look up again. */
  | { type: 'gone'; epoch: number; hops: number; message: Message }
  /** What became of a message: for the sender's connection. */
  | { type: 'notice'; connection: ConnectionId; to: Peer; ref: string; code: ErrorCode }
  /** The name was claimed elsewhere: close the session of this lease, for good. */
  | { type: 'superseded'; peer: Peer; connection: ConnectionId; epoch: number }
  /** An older claim was written back against this lease [I10]: close its session; a new claim decides. */
  | { type: 'evicted'; peer: Peer; connection: ConnectionId; epoch: number }
