import type { NodeId } from '@peerage/protocol'
import type { Envelope } from './message.js'

/**
 * Sends envelopes from one node to another. Contract (testing/contracts/bus-contract.ts):
 * - an envelope arrives at most once: it may be lost, and the bus itself never duplicates it;
 * - envelopes from one node to another arrive in the order in which they were published;
 * - `sent` means that the store handed the envelope to a subscriber of that inbox, not that the node received it;
 * - `unavailable`, within `commandMs`, means that nobody subscribes to that inbox, that the store did not answer in
 *   time, or that too many envelopes or bytes wait. The envelope may still have arrived, so a caller that sends it again
 *   must tolerate a duplicate;
 * - a payload that is not an envelope is counted, reported to `onError`, and dropped. So is an error that `receive`
 *   throws: the next envelope still arrives.
 */
export interface Bus {
  /**
   * Subscribes to the inbox of `node`, in place of the former inbox. Resolves when the subscription is active.
   * Rejects with RegistryUnavailable within `commandMs`.
   */
  subscribe(node: NodeId, receive: Receive): Promise<void>
  /**
   * Publishes to the inbox of `to`. Never rejects for an outage. A bus with several paths sends an `origin` along
   * with the envelope, to drop duplicates.
   */
  publish(to: NodeId, envelope: Envelope, origin?: Origin): Promise<Published>
  /** Ends the subscription: `receive` is not called any more. */
  close(): Promise<void>
}

export type Receive = (envelope: Envelope, origin?: Origin) => void
export type Published = 'sent' | 'unavailable'

/**
 * The node that sent an envelope, and the envelope's number, which grows with each envelope from that node to that inbox.
 */
export interface Origin {
  node: NodeId
  number: number
}
