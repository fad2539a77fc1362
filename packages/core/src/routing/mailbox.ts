import type { Peer } from '@peerage/protocol'
import type { Message } from './message.js'

/**
 * PeerJS's queue for an absent peer: bounded in count, bytes and time. Nothing else waits in the store.
 * Contract (testing/contracts/mailbox-contract.ts): a message is taken once; order is kept; a queue ends `expireMs` after
 * it was made, whatever came later.
 */
export interface Mailbox {
  /** `full`: over the bound, and dropped. `since`: when this queue was made, in registry ms. */
  put(peer: Peer, message: Message): Promise<{ ok: true; since: number } | { ok: false; reason: 'full' }>
  /** Empties the queue: the holder is here. */
  take(peer: Peer): Promise<Message[]>
  /** Empties the queue if it is at least `expireMs` old; of several nodes that ask, one gets the messages. */
  expire(peer: Peer): Promise<Message[]>
}

export interface MailboxLimits {
  /** Messages that wait for one peer. An offer with its candidates makes some 10 to 30. */
  messages: number
  /** Bytes of their frames, together. */
  length: number
  /** How long a queue lasts from its making. */
  expireMs: number
}

/** PeerJS's five seconds; its clients send an offer and some candidates before an answer must come. */
export const defaultMailboxLimits: MailboxLimits = { messages: 100, length: 256 * 1024, expireMs: 5_000 }
