import type { Clock } from './clock.js'

/** What others may make this peer do at its own cost: make connections, send refusals, call. An honest peer needs a few. */
const OF_ONE = { perSecond: 2, burst: 8 }
const OF_ALL = { perSecond: 50, burst: 64 }
/** Of so many senders it is known what they did; the oldest is forgotten first. */
const SENDERS_MAX = 256

interface Tokens {
  left: number
  at: number
}

/** A rate for each sender, so that one cannot use up what the others need, and one for all of them. */
export class OfferRate {
  readonly #clock: Clock
  readonly #senders = new Map<string, Tokens>()
  readonly #all: Tokens = { left: OF_ALL.burst, at: 0 }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** False: over a rate; nothing is done, and nothing is said. */
  take(sender: string): boolean {
    const now = this.#clock.now()
    let tokens = this.#senders.get(sender)
    if (tokens === undefined) {
      for (const oldest of this.#senders.keys()) {
        if (this.#senders.size < SENDERS_MAX) break
        this.#senders.delete(oldest)
      }
      tokens = { left: OF_ONE.burst, at: now }
      this.#senders.set(sender, tokens)
    }
    return take(tokens, OF_ONE, now) && take(this.#all, OF_ALL, now)
  }
}

function take(tokens: Tokens, { perSecond, burst }: typeof OF_ONE, now: number): boolean {
  // The time of day may jump back.
  const passed = Math.max(0, now - tokens.at) / 1_000
  tokens.left = Math.min(burst, tokens.left + passed * perSecond)
  tokens.at = now
  if (tokens.left < 1) return false
  tokens.left--
  return true
}
