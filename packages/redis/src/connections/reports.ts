import type { Clock, OnError } from '@peerage/core'

/** The same words again are news only after so long. */
const REPEAT_MS = 10_000

const RETRY_DELAY_PATTERN = / Retrying from scratch after [\d.]+ms\./u

/** What goes on for as long as an outage does. */
const REPEATING = new Set([
  'redis connection',
  'bus publish',
  'canary',
  'health',
  'permission',
  'ping',
  'slots',
  'subscribe',
  'unsubscribe',
  'version',
])

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
    if (REPEATING.has(context.stage) && this.#isRepeated(`${context.stage}: ${this.describe(error)}`)) return
    this.#onError(error, context)
  }

  /** An error in one line. Node reports a host with several addresses as an error without words. */
  describe(error: unknown): string {
    if (error instanceof AggregateError) return error.errors.map((one) => this.describe(one)).join('; ')
    // A Cluster of which no node could be asked keeps the reason apart.
    if (error instanceof Error && 'lastNodeError' in error && error.lastNodeError instanceof Error)
      return `${error.message} ${this.describe(error.lastNodeError)}`
    // How long it waits until the next attempt differs each time, and is no news.
    return (error instanceof Error ? error.message : String(error)).replace(RETRY_DELAY_PATTERN, '')
  }

  #isRepeated(words: string): boolean {
    const now = this.#clock.monotonic()
    for (const [old, at] of this.#said) if (now - at >= REPEAT_MS) this.#said.delete(old)
    if (this.#said.has(words)) return true
    this.#said.set(words, now)
    return false
  }
}
