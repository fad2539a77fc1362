import type { Name } from '@peerage/protocol'
import { decodeNodeMessage, isObject } from '@peerage/protocol'
import { Inbox } from './inbox.js'
import type { InboxOptions, Seen } from './inbox.js'
import { Outbox } from './outbox.js'
import type { Carrier, Carriers, OutboxOptions, Stay } from './signaling.js'

/** Both halves of delivery over all carriers. SPEC.md, Delivery. */
export class Delivery implements Carriers {
  readonly inbox: Inbox
  readonly outbox: Outbox
  readonly #self: () => Stay

  constructor(options: InboxOptions & OutboxOptions & { self: () => Stay; seen: Seen[] }) {
    this.inbox = new Inbox(options, options.seen)
    this.outbox = new Outbox(options)
    this.#self = options.self
  }

  attach(to: Stay, carrier: Carrier): () => void {
    return this.outbox.attach(to, carrier)
  }

  kick(to: Name): void {
    this.outbox.kick(to)
  }

  /** What a `send` or `ack` frame of the other peer means here, once its sender is stamped [WD13]. */
  receive(from: Stay, frame: unknown, carrier: Carrier): boolean {
    if (!isObject(frame)) return false
    if (frame['type'] === 'ack') return this.#acks(from.name, frame['acks'])
    // Bound to a stay of this name: an older page's messages are not for this one.
    if (frame['type'] !== 'send' || frame['since'] !== this.#self().since) return false
    const read = decodeNodeMessage('message', { ...frame, from: from.name, since: from.since })
    if (!read.ok || read.value.type !== 'message') return false
    this.inbox.receive(read.value, carrier)
    return true
  }

  #acks(from: Name, acks: unknown): boolean {
    if (!Array.isArray(acks)) return false
    for (const ack of acks) {
      const read = decodeNodeMessage('acked', { ...ack, from })
      if (!read.ok || read.value.type !== 'acked') return false
      this.outbox.acked(read.value)
    }
    return true
  }

  close(): void {
    this.inbox.close()
    this.outbox.close()
  }
}
