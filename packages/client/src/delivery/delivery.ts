import type { Name } from '@peerage/protocol'
import { decodeNodeMessage, isObject } from '@peerage/protocol'
import { Inbox } from './inbox.js'
import type { InboxOptions, Seen } from './inbox.js'
import { Outbox } from './outbox.js'
import type { Carrier, Carriers, OutboxOptions, Holder } from './signaling.js'

/** The sending and the receiving half of delivery, over all carriers (native wire, SPEC.md, Delivery). */
export class Delivery implements Carriers {
  readonly inbox: Inbox
  readonly outbox: Outbox
  readonly #self: () => Holder

  constructor(options: InboxOptions & OutboxOptions & { self: () => Holder; seen: Seen[] }) {
    this.inbox = new Inbox(options, options.seen)
    this.outbox = new Outbox(options)
    this.#self = options.self
  }

  attach(to: Holder, carrier: Carrier): () => void {
    return this.outbox.attach(to, carrier)
  }

  kick(to: Name): void {
    this.outbox.kick(to)
  }

  /** Takes a `send` or `ack` frame. `from` is the sender that the carrier knows, whatever the frame says [WD13]. */
  receive(from: Holder, frame: unknown, carrier: Carrier): boolean {
    if (!isObject(frame)) return false
    if (frame['type'] === 'ack') return this.#acks(from.name, frame['acks'])
    // A message is bound to one holder of this name. It must not reach a later holder.
    if (frame['type'] !== 'send' || frame['since'] !== this.#self().since) return false
    // Only a node can say that an application server sent a message [WD20].
    const stamp = { from: from.name, since: from.since, server: undefined }
    const read = decodeNodeMessage('message', { ...frame, ...stamp })
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
