import type { Clock } from '../lib/clock.js'

/** What others may make this peer do at its own cost: make connections, send refusals, call. An honest peer needs a few. */
const OF_ONE = { perSecond: 2, burst: 8 }
const OF_ALL = { perSecond: 50, burst: 64 }
/** What this peer offers another: one less at once, so that offers that bunch on their way are in time all the same. */
const OF_OWN = { perSecond: OF_ONE.perSecond, burst: OF_ONE.burst - 1 }
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
    return take(tokensOf(this.#senders, sender, OF_ONE, now), OF_ONE, now) && take(this.#all, OF_ALL, now)
  }
}

/** Keeps this peer within the rate of each one that it calls: what is over that meets with silence there. */
export class CallPace {
  readonly #clock: Clock
  readonly #callees = new Map<string, Tokens>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves to true when it may be called, or to false: nobody wants that any more. */
  async turn(callee: string, isWanted: () => boolean): Promise<boolean> {
    while (isWanted()) {
      const now = this.#clock.now()
      const tokens = tokensOf(this.#callees, callee, OF_OWN, now)
      if (take(tokens, OF_OWN, now)) return true
      const waitMs = Math.ceil(((1 - tokens.left) / OF_OWN.perSecond) * 1_000)
      await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve))
    }
    return false
  }
}

function tokensOf(all: Map<string, Tokens>, name: string, { burst }: typeof OF_ONE, now: number): Tokens {
  const known = all.get(name)
  if (known) return known
  for (const oldest of all.keys()) {
    if (all.size < SENDERS_MAX) break
    all.delete(oldest)
  }
  const tokens = { left: burst, at: now }
  all.set(name, tokens)
  return tokens
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
