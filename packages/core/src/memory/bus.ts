import type { NodeId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Bus } from '../bus.js'
import { decodeEnvelopes, encodeEnvelope } from '../envelope-codec.js'
import type { Envelope } from '../envelope.js'
import type { Store } from './store.js'

/** The bus of one process. Envelopes pass through the codec, so what arrives is a copy, as from another process. */
export class MemoryBus implements Bus {
  readonly #store: Store
  readonly #onError: OnError
  #inbox: NodeId | undefined
  #receive: ((envelope: Envelope) => void) | undefined

  constructor(store: Store, onError: OnError) {
    this.#store = store
    this.#onError = onError
  }

  async subscribe(node: NodeId, receive: (envelope: Envelope) => void): Promise<void> {
    this.#store.open()
    this.#unsubscribe()
    this.#inbox = node
    this.#receive = (envelope) => this.#hand(envelope, receive)
    this.#store.inboxes.set(node, this.#receive)
  }

  async publish(to: NodeId, envelope: Envelope): Promise<'sent' | 'unavailable'> {
    if (this.#store.down) return 'unavailable'
    const payload = encodeEnvelope(envelope)
    // Never in the caller's own turn: a publish must not run the receiver's code.
    queueMicrotask(() => {
      const inbox = this.#store.inboxes.get(to)
      if (inbox) decodeEnvelopes(payload, inbox)
    })
    return 'sent'
  }

  async close(): Promise<void> {
    this.#unsubscribe()
  }

  #unsubscribe(): void {
    if (this.#inbox !== undefined && this.#store.inboxes.get(this.#inbox) === this.#receive)
      this.#store.inboxes.delete(this.#inbox)
    this.#inbox = undefined
    this.#receive = undefined
  }

  #hand(envelope: Envelope, receive: (envelope: Envelope) => void): void {
    try {
      receive(envelope)
    } catch (error) {
      this.#onError(error, { stage: 'bus receive' })
    }
  }
}
