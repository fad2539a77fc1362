import type { ConnectionId, NodeId, Peer } from '@peerage/protocol'
import type { Wire } from '../sessions/connection.js'

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
   * Where it comes back to when the stay is gone, and where a notice goes, with the sender's own word for this
   * message; absent: neither is wanted.
   */
  reply?: { node: NodeId; connection: ConnectionId; ref: string }
  /** The whole text frame for the recipient's socket. */
  frame: string
}
