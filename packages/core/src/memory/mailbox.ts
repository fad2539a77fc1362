import type { Peer } from '@peerage/protocol'
import type { Mailbox } from '../routing/mailbox.js'
import type { Message } from '../routing/message.js'
import type { Store } from './store.js'

/** The mailboxes of one process. */
export class MemoryMailbox implements Mailbox {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async put(
    peer: Peer,
    message: Message,
  ): Promise<{ ok: true; since: number } | { ok: false; reason: 'full' }> {
    this.#store.open()
    this.#forget()
    const { mailboxLimits, queues } = this.#store
    const queue = queues.get(peer) ?? { madeAt: this.#store.now(), messages: [], length: 0 }
    const length = queue.length + Buffer.byteLength(message.frame)
    if (queue.messages.length >= mailboxLimits.messages || length > mailboxLimits.length)
      return { ok: false, reason: 'full' }
    queue.messages.push(message)
    queue.length = length
    queues.set(peer, queue)
    return { ok: true, since: queue.madeAt }
  }

  async take(peer: Peer): Promise<Message[]> {
    this.#store.open()
    return this.#empty(peer, (age) => age < this.#store.mailboxLimits.expireMs)
  }

  async expire(peer: Peer): Promise<Message[]> {
    this.#store.open()
    return this.#empty(peer, (age) => age >= this.#store.mailboxLimits.expireMs)
  }

  #empty(peer: Peer, fits: (ageMs: number) => boolean): Message[] {
    const queue = this.#store.queues.get(peer)
    if (queue === undefined || !fits(this.#store.now() - queue.madeAt)) return []
    this.#store.queues.delete(peer)
    return queue.messages
  }

  // Queues are in the order of their creation. A queue gets this old only if no node asked for it.
  #forget(): void {
    const oldest = this.#store.now() - forgottenAfterMs(this.#store.mailboxLimits.expireMs)
    for (const [peer, queue] of this.#store.queues) {
      if (queue.madeAt > oldest) return
      this.#store.queues.delete(peer)
    }
  }
}

/** If all nodes that know a queue have died, it ends by itself, long after any node would ask for it. */
function forgottenAfterMs(expireMs: number): number {
  return 3 * expireMs
}
