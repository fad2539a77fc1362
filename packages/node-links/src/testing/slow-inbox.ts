import type { Bus, Clock, Envelope, Origin, Published, Receive } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'

type Fate = 'arrives' | 'lost' | 'refused'

/** The state that all inboxes of a test share. */
export interface Inboxes {
  clock: Clock
  receivers: Map<NodeId, Receive>
  /** How long the next envelope takes. None overtakes another to the same node. */
  delayMs: () => number
  /** Whether the next envelope arrives, is reported as sent and lost, or is refused. */
  fate: () => Fate | Promise<Fate>
}

/** A bus that delivers its envelopes after a delay. */
export class SlowInbox implements Bus {
  readonly #inboxes: Inboxes
  #self: NodeId | undefined
  readonly #freeAt = new Map<NodeId, number>()

  constructor(inboxes: Inboxes) {
    this.#inboxes = inboxes
  }

  async subscribe(node: NodeId, receive: Receive): Promise<void> {
    await this.close()
    this.#self = node
    this.#inboxes.receivers.set(node, receive)
  }

  async publish(to: NodeId, envelope: Envelope, origin?: Origin): Promise<Published> {
    const { clock, receivers, delayMs, fate } = this.#inboxes
    const fated = fate()
    const becomes = fated instanceof Promise ? await fated : fated
    if (becomes === 'refused' || !receivers.has(to)) return 'unavailable'
    if (becomes === 'lost') return 'sent'
    const at = Math.max(this.#freeAt.get(to) ?? 0, clock.monotonic() + delayMs())
    this.#freeAt.set(to, at)
    clock.after(at - clock.monotonic(), () => receivers.get(to)?.(envelope, origin))
    return 'sent'
  }

  async close(): Promise<void> {
    if (this.#self !== undefined) this.#inboxes.receivers.delete(this.#self)
    this.#self = undefined
  }
}
