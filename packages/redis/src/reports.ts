import type { Clock, OnError } from '@peerage/core'

/** The same words again are news only after so long. */
const REPEAT_MS = 10_000

/** One line for each kind of trouble, not one for each retry of three connections. */
export class Reports {
  readonly #onError: OnError
  readonly #clock: Clock
  /** What was said of late, and when. */
  readonly #said = new Map<string, number>()

  constructor(onError: OnError, clock: Clock) {
    this.#onError = onError
    this.#clock = clock
  }

  readonly onError: OnError = (error, context) => {
    const now = this.#clock.monotonic()
    const words = `${context.stage}: ${this.describe(error)}`
    const last = this.#said.get(words)
    if (context.stage === 'redis connection' && last !== undefined && now - last < REPEAT_MS) return
    for (const [old, at] of this.#said) if (now - at >= REPEAT_MS) this.#said.delete(old)
    if (context.stage === 'redis connection') this.#said.set(words, now)
    this.#onError(error, context)
  }

  /** An error in one line. Node reports a host with several addresses as an error without words. */
  describe(error: unknown): string {
    if (error instanceof AggregateError) return error.errors.map((one) => this.describe(one)).join('; ')
    return error instanceof Error ? error.message : String(error)
  }
}
