import type { Clock, Message, Outcome, Router } from '@peerage/core'

export interface OrderedPairsOptions {
  router: Pick<Router, 'route' | 'knows'>
  clock: Clock
  /** Called with the outcome of a message. `ms`: how long the outcome took. Absent if it was known at once. */
  settled: (message: Message, outcome: Outcome, ms?: number) => void
  /** Called for a message that is dropped because too many wait already. */
  dropped: (message: Message) => void
  onError: (error: unknown, context: { stage: string }) => void
}

/** How many messages of a pair may wait for a lookup. An offer with all its candidates is about 30 messages. */
const MAX_WAITING_PER_PAIR = 256
/** How many messages may wait for lookups on this node, so that a slow registry costs bounded memory. */
const MAX_WAITING = 20_000
const MAX_WAITING_BYTES = 16 * 1024 * 1024

/**
 * Keeps the messages from one peer to another in order while the route is being looked up, for wires whose peers
 * acknowledge nothing and resend nothing. There a candidate that overtook its offer would be lost. If the route is known,
 * nothing waits.
 */
export class OrderedPairs {
  readonly #options: OrderedPairsOptions
  readonly #waiting = new Map<string, Message[]>()
  #count = 0
  #bytes = 0

  constructor(options: OrderedPairsOptions) {
    this.#options = options
  }

  route(message: Message): void {
    const behind = this.#waiting.size === 0 ? undefined : this.#waiting.get(pairOf(message))
    if (behind) {
      this.#wait(behind, message)
      return
    }
    const outcome = this.#options.router.route(message)
    if (!(outcome instanceof Promise)) {
      this.#options.settled(message, outcome)
      return
    }
    const settled = this.#settle(message, outcome)
    if (this.#options.router.knows(message.to)) return
    const queue: Message[] = []
    this.#waiting.set(pairOf(message), queue)
    void settled.then(() => this.#drain(pairOf(message), queue))
  }

  #wait(queue: Message[], message: Message): void {
    const bytes = this.#bytes + Buffer.byteLength(message.frame)
    if (queue.length >= MAX_WAITING_PER_PAIR || this.#count >= MAX_WAITING || bytes > MAX_WAITING_BYTES) {
      this.#options.dropped(message)
      return
    }
    queue.push(message)
    this.#count++
    this.#bytes = bytes
  }

  async #drain(pair: string, queue: Message[]): Promise<void> {
    for (let next = queue.shift(); next; next = queue.shift()) {
      this.#count--
      this.#bytes -= Buffer.byteLength(next.frame)
      const outcome = this.#options.router.route(next)
      if (!(outcome instanceof Promise)) this.#options.settled(next, outcome)
      else {
        const settled = this.#settle(next, outcome)
        if (!this.#options.router.knows(next.to)) await settled
      }
    }
    this.#waiting.delete(pair)
  }

  // Never rejects.
  #settle(message: Message, outcome: Promise<Outcome>): Promise<void> {
    const { clock, settled, onError } = this.#options
    const begunAt = clock.monotonic()
    return outcome.then(
      (known) => settled(message, known, clock.monotonic() - begunAt),
      (error: unknown) => onError(error, { stage: 'route' }),
    )
  }
}

function pairOf(message: Message): string {
  return `${message.from}\n${message.to}`
}
