import type { Kind, Name, PeerMessageOf, PresenceState } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { SendFailure } from '../lib/error.js'

// The types of delivery: what it needs, and what carries its frames. This file has no code and imports no
// implementation.

/** How a message ended. `delivered` means that the recipient's SDK has handed it to its application. */
export type SendResult = 'delivered' | SendFailure

/** One holder of a name: the name, and when the peer claimed it, in milliseconds of Redis time. */
export interface Holder {
  name: Name
  since: number
}

/**
 * How a message is sent: `p2p-first` (over an open channel to the recipient if there is one, else through the server),
 * `p2p-only` (over an open channel, or it fails as `unavailable`), or `server` (always through the server).
 */
export type Via = 'p2p-first' | 'p2p-only' | 'server'

/** A message to send. */
export interface Outgoing {
  to: Name
  kind: Kind
  body: string
  via: Via
  handshake?: string | undefined
  signal?: AbortSignal | undefined
  deadlineMs: number
}

/** A received offer, answer or list of candidates. */
export interface Signal {
  from: Holder
  /** The id that all signals of one handshake have, here and in every node's log: at most 32 characters. */
  handshake: string
  body: string
}

/**
 * Sends and receives signals. They are delivered like messages: once and in order per sender, or with a typed failure.
 */
export interface Signaling {
  send(
    to: Name,
    body: string,
    options: { handshake: string; signal?: AbortSignal | undefined; deadlineMs?: number | undefined },
  ): Promise<SendResult>
  /** Returns a function that removes the listener. */
  onSignal(listener: (signal: Signal) => void): () => void
}

export type Frame = PeerMessageOf<'send'> | PeerMessageOf<'ack'>

/** Carries frames to a peer: the connection to the server, or an open channel. */
export interface Carrier {
  /**
   * Returns false if the carrier is gone, and 'full' if it has no room now. In the second case, the code that attached
   * the carrier calls `Carriers.kick` when there is room again. Never throws or blocks. True does not mean that the
   * frame arrives, so delivery resends a message until it is acknowledged.
   */
  send(frame: Frame): boolean | 'full'
}

/** Lets a channel carry frames. A stream may change its carrier at any frame [WD15]. */
export interface Carriers {
  /** From now on, frames for this holder of the name go over the carrier first. Returns a function that detaches it. */
  attach(to: Holder, carrier: Carrier): () => void
  /** There is room again on the carrier to `to`. */
  kick(to: Name): void
  /**
   * Takes a frame that the peer `from` sent over the carrier, as parsed JSON. Returns false, and does nothing, if it is
   * not a frame of delivery, or is for another holder of this peer's name.
   */
  receive(from: Holder, frame: unknown, carrier: Carrier): boolean
}

/** What the sending half of delivery needs. */
export interface OutboxOptions {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  /** 64 random bits as 11 characters of base64url. */
  streamId: () => string
  server: Carrier
  /** Resolves to undefined if there is no answer now. `forbidden`: this peer may not send to the name. Never rejects. */
  lookup: (name: Name) => Promise<{ state: PresenceState; since?: number } | 'forbidden' | undefined>
  /** Watches the presence of a peer that is away while messages wait for it. */
  watch: (name: Name) => void
  unwatch: (name: Name) => void
}
