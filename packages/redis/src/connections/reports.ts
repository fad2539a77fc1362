import type { Clock, OnError } from '@peerage/core'
import { wordsOf } from './errors.js'

/** The same error is reported again only after this time. */
const REPEAT_MS = 10_000

/** Stages that fail again and again during an outage. */
const REPEATING = new Set([
  'announce',
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

/** Reports each kind of failure once, not once for each retry of three connections. */
export class Reports {
  readonly #onError: OnError
  readonly #clock: Clock
  /** What was reported lately, and when. */
  readonly #said = new Map<string, number>()

  constructor(onError: OnError, clock: Clock) {
    this.#onError = onError
    this.#clock = clock
  }

  readonly onError: OnError = (error, context) => {
    if (REPEATING.has(context.stage) && this.#isRepeated(`${context.stage}: ${wordsOf(error)}`)) return
    this.#onError(error, context)
  }

  #isRepeated(words: string): boolean {
    const now = this.#clock.monotonic()
    for (const [old, at] of this.#said) if (now - at >= REPEAT_MS) this.#said.delete(old)
    if (this.#said.has(words)) return true
    this.#said.set(words, now)
    return false
  }
}
