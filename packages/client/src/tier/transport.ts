import type { Hello, NodeMessage, PeerMessage, ProtocolError } from '@peerage/protocol'

/** One connection to one node, for tests and other wires. It never reconnects; the SDK opens another one instead. */
export interface Transport {
  /** Sends a message. Returns false before the hello was sent and after the end. Never throws. */
  send(message: PeerMessage): boolean
  /**
   * Ends the connection. No event follows. Resolves when the node has read everything that was sent (and has freed the
   * name, if the last message was a `leave`), or after 2 s.
   */
  close(): void | Promise<void>
}

/** The events that a transport reports to the SDK. */
export interface TransportEvents {
  /** A decoded message of the node. The first one is the welcome. */
  message(message: NodeMessage): void
  /** The node sent a message that this SDK cannot read. The connection continues. */
  malformed(error: ProtocolError): void
  /** The node refused the hello. The connection is over. */
  refused(error: ProtocolError): void
  /**
   * The connection is over. `code` is the WebSocket close code. 1006 means that it ended without a close frame (RFC 6455
   * §7.1.5). The message of `cause` says what is known about the reason.
   */
  closed(code: number, cause?: Error): void
}

/** Starts a connection, which sends `hello` first. The events come later, never during the call. */
export type OpenTransport = (hello: Hello, events: TransportEvents) => Transport
