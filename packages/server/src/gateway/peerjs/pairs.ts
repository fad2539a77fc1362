import type { Clock, Message, Outcome, Router } from '@peerage/core'

export interface PairsParts {
  router: Pick<Router, 'route' | 'knows'>
  clock: Clock
  /** `ms`: how long the outcome was waited for; absent: it was known at once. */
  settled: (message: Message, outcome: Outcome, ms?: number) => void
  /** Too many wait already. */
  dropped: (message: Message) => void
  onError: (error: unknown, context: { stage: string }) => void
}

/** Waiting behind one look-up: an offer with all its candidates is some 30 messages. */
const WAITING_PER_PAIR_MOST = 256
/** Waiting behind all look-ups of this node, so that a slow registry costs bounded memory. */
const WAITING_MOST = 20_000
const WAITING_BYTES_MOST = 16 * 1024 * 1024

/**
 * Keeps the order of what one peer sends to another while the way is being looked up. PeerJS clients answer nothing
 * and resend nothing, so a candidate that overtook its offer would be lost. Where the way is known there is nothing
 * to wait for, and nothing is kept.
 */
export class Pairs {
  readonly #parts: PairsParts
  readonly #waiting = new Map<string, Message[]>()
  #count = 0
  #bytes = 0

  constructor(parts: PairsParts) {
    this.#parts = parts
  }

  route(message: Message): void {
    const behind = this.#waiting.size === 0 ? undefined : this.#waiting.get(pairOf(message))
    if (behind) {
      this.#wait(behind, message)
      return
    }
    const outcome = this.#parts.router.route(message)
    if (!(outcome instanceof Promise)) {
      this.#parts.settled(message, outcome)
      return
    }
    const settled = this.#settle(message, outcome)
    if (this.#parts.router.knows(message.to)) return
    const queue: Message[] = []
    this.#waiting.set(pairOf(message), queue)
    void settled.then(() => this.#drain(pairOf(message), queue))
  }

  #wait(queue: Message[], message: Message): void {
    const bytes = this.#bytes + Buffer.byteLength(message.frame)
    if (queue.length >= WAITING_PER_PAIR_MOST || this.#count >= WAITING_MOST || bytes > WAITING_BYTES_MOST) {
      this.#parts.dropped(message)
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
      const outcome = this.#parts.router.route(next)
      if (!(outcome instanceof Promise)) this.#parts.settled(next, outcome)
      else {
        const settled = this.#settle(next, outcome)
        if (!this.#parts.router.knows(next.to)) await settled
      }
    }
    this.#waiting.delete(pair)
  }

  // Never rejects.
  #settle(message: Message, outcome: Promise<Outcome>): Promise<void> {
    const { clock, settled, onError } = this.#parts
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
