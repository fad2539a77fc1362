import type { Peer } from '@peerage/protocol'
import type { Message } from './message.js'

/**
 * The queue of messages for an absent peer, as PeerJS has it, bounded in count, bytes and time. No other messages
 * wait in the store. Contract (testing/contracts/mailbox-contract.ts):
 * - each operation is atomic, and each message is taken once, by one node;
 * - messages keep their order;
 * - a queue ends `expireMs` after it was created, even if messages came later;
 * - during an outage a method rejects with `RegistryUnavailable`. The mailbox may still have carried a put out.
 */
export interface Mailbox {
  /**
   * Appends a message. `full`: the queue has reached a bound, and the message was dropped. `since`: when this queue
   * was created, in registry ms.
   */
  put(peer: Peer, message: Message): Promise<{ ok: true; since: number } | { ok: false; reason: 'full' }>
  /** Empties the queue when its peer is here, and returns its messages. Returns none if the queue has expired. */
  take(peer: Peer): Promise<Message[]>
  /** Empties the queue if it is at least `expireMs` old. If several nodes ask, one of them gets the messages. */
  expire(peer: Peer): Promise<Message[]>
}

export interface MailboxLimits {
  /** Messages that may wait for one peer. An offer with its candidates makes some 10 to 30. */
  messages: number
  /** Bytes of their frames together. */
  length: number
  /** How long a queue lasts after it was created. */
  expireMs: number
}

/** PeerJS's five seconds. A PeerJS peer sends an offer and some candidates before it needs an answer. */
export const defaultMailboxLimits: MailboxLimits = { messages: 100, length: 256 * 1024, expireMs: 5_000 }
