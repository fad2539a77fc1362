import type { Name, PeerMessageOf } from '@peerage/protocol'

// What delivery offers to the P2P controller, and the seam through which a channel carries messages.

/** How a message ended, when it was not delivered. */
export type SendFailure =
  /** No peer has this name, or it is no longer the same peer. Nothing more will be tried. */
  | 'unavailable'
  /** Not acknowledged by the deadline: it may or may not have arrived. */
  | 'timeout'
  /** Kept back by a limit of the node or of its relay policy until the deadline: it did not arrive. */
  | 'rate-limited'
  /** At once: what this peer holds for others is at its bound. Nothing was sent. */
  | 'queue-full'
  /** At once: over the size of one message. */
  | 'too-large'
  /** The other peer cannot read it: it speaks another protocol (PeerJS), or another version of this one. */
  | 'incompatible'
  /** The relay policy of the app does not carry this through the server. */
  | 'relay-refused'
  /** The caller's AbortSignal; it may or may not have arrived. */
  | 'aborted'
  /** This peer was closed; it may or may not have arrived. */
  | 'closed'

/** `delivered`: the recipient's SDK handed it to its application. */
export type SendResult = 'delivered' | SendFailure

/** Another peer's stay: the name, and since when it holds it (Redis time, milliseconds). */
export interface Stay {
  name: Name
  since: number
}

/** Which way a message may go: a channel where there is one, only a channel, or only the server. */
export type Via = 'p2p-first' | 'p2p-only' | 'server'

export interface Signal {
  from: Stay
  /** Links all signals of one attempt, here and in every node's log: at most 32 characters. */
  handshake: string
  body: string
}

/** Offers, answers and candidates, delivered as messages are: once, in order per sender, or a typed failure. */
export interface Signaling {
  send(
    to: Name,
    body: string,
    options: { handshake: string; signal?: AbortSignal | undefined; deadlineMs?: number | undefined },
  ): Promise<SendResult>
  /** Returns the way to stop listening. */
  onSignal(listener: (signal: Signal) => void): () => void
}

export type Frame = PeerMessageOf<'send'> | PeerMessageOf<'ack'>

/** Something that carries frames to a peer: the server, or one open channel. */
export interface Carrier {
  /**
   * False: it is gone. 'full': no room now; whoever made the carrier calls `Carriers.kick` when there is.
   * Never throws, never blocks. True promises nothing: delivery resends until it is acknowledged.
   */
  send(frame: Frame): boolean | 'full'
}

/** How a channel becomes a carrier. The same stream may change carriers at any frame. */
export interface Carriers {
  /** From now on frames for this stay go over the carrier first. Returns the way to take it off again. */
  attach(to: Stay, carrier: Carrier): () => void
  /** There is room again on the carrier to `to`. */
  kick(to: Name): void
  /**
   * One frame that came over a carrier, as parsed JSON, from the peer at its other end. False: it is not a frame of
   * delivery, or not for this stay; nothing happened.
   */
  receive(from: Stay, frame: unknown, carrier: Carrier): boolean
}
