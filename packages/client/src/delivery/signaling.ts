import type { Kind, Name, PeerMessageOf, PresenceState } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { SendFailure } from '../lib/error.js'

// The contracts of delivery: what it is given, and what a channel is that carries its frames. Types alone: what
// implements them imports this file, never the other way.

/** `delivered`: the recipient's SDK handed it to its application. */
export type SendResult = 'delivered' | SendFailure

/** A peer's stay, from its claim to its end: the name, and since when it holds it (Redis time, milliseconds). */
export interface Stay {
  name: Name
  since: number
}

/** Which way a message may go: a channel where there is one, only a channel, or only the server. */
export type Via = 'p2p-first' | 'p2p-only' | 'server'

/** A message that is to be sent. */
export interface Outgoing {
  to: Name
  kind: Kind
  body: string
  via: Via
  handshake?: string | undefined
  signal?: AbortSignal | undefined
  deadlineMs: number
}

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

/** What the sending half of delivery is given. */
export interface OutboxOptions {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  /** 64 random bits as 11 characters of base64url. */
  streamId: () => string
  server: Carrier
  /** Undefined: no answer now. Never rejects. */
  lookup: (name: Name) => Promise<{ state: PresenceState; since?: number } | undefined>
  /** While messages wait for a peer that is away, its presence is watched. */
  watch: (name: Name) => void
  unwatch: (name: Name) => void
}
