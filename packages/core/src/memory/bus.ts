import type { NodeId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Bus, Origin, Published, Receive } from '../routing/bus.js'
import { decodeEnvelopes } from '../routing/decode.js'
import { encodeEnvelope } from '../routing/encode.js'
import type { Envelope } from '../routing/message.js'
import type { Store } from './store.js'

/** The bus of one process. Envelopes pass through the codec, so the receiver gets a copy, as from another process. */
export class MemoryBus implements Bus {
  readonly #store: Store
  readonly #onError: OnError
  #inbox: NodeId | undefined
  #take: ((payload: string) => void) | undefined

  constructor(store: Store, onError: OnError) {
    this.#store = store
    this.#onError = onError
  }

  async subscribe(node: NodeId, receive: Receive): Promise<void> {
    this.#store.open()
    this.#unsubscribe()
    this.#inbox = node
    this.#take = (payload) => {
      const malformed = decodeEnvelopes(payload, (envelope, origin) =>
        this.#hand(() => receive(envelope, origin)),
      )
      if (malformed > 0)
        this.#onError(new Error('a payload on the bus is not an envelope'), {
          stage: 'bus receive',
          malformed,
        })
    }
    this.#store.inboxes.set(node, this.#take)
  }

  async publish(to: NodeId, envelope: Envelope, origin?: Origin): Promise<Published> {
    if (this.#store.down || !this.#store.inboxes.has(to)) return 'unavailable'
    this.#store.post(to, encodeEnvelope(envelope, origin))
    return 'sent'
  }

  async close(): Promise<void> {
    this.#unsubscribe()
  }

  #unsubscribe(): void {
    if (this.#inbox !== undefined && this.#store.inboxes.get(this.#inbox) === this.#take)
      this.#store.inboxes.delete(this.#inbox)
    this.#inbox = undefined
    this.#take = undefined
  }

  #hand(receive: () => void): void {
    try {
      receive()
    } catch (error) {
      this.#onError(error, { stage: 'bus receive' })
    }
  }
}
