import type { Hello, NodeMessage, PeerMessage, ProtocolError } from '@peerage/protocol'

/** One connection to one node. It never comes back by itself: the link opens another. */
export interface Transport {
  /** False: no hello has gone, or it is over. Never throws. */
  send(message: PeerMessage): boolean
  /**
   * Ends the connection; no event follows. Resolves when the node has read all that was sent, and done what a `leave`
   * right before this asks for, or after 2 s.
   */
  close(): void | Promise<void>
}

export interface TransportEvents {
  /** Decoded; the first one is the welcome. */
  message(message: NodeMessage): void
  /** The node sent what this SDK cannot read. The connection goes on. */
  malformed(error: ProtocolError): void
  /** The node refused the hello. The connection is over. */
  refused(error: ProtocolError): void
  /**
   * The connection is over, with its WebSocket close code; 1006 is a cut (RFC 6455 §7.1.5). `cause`: what is known of
   * it, its message for people.
   */
  closed(code: number, cause?: Error): void
}

/** Starts to connect. The events come later, never during the call. */
export type OpenTransport = (hello: Hello, events: TransportEvents) => Transport
