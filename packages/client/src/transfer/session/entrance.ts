import type { Clock } from '../../lib/clock.js'
import { Rates } from '../../lib/rates.js'

/** How often one peer, and all peers together, may begin a handshake. A guest with four channels begins four. */
const OF_ONE = { burst: 12, perSecond: 0.5 }
const OF_ALL = { burst: 64, perSecond: 8 }
/** How many handshakes and greetings of one peer, and of all, are under way. */
const AT_ONCE_OF_ONE = 4
const AT_ONCE_OF_ALL = 24

/** Counts what strangers make a host compute, before it is computed. Afterwards nothing of it is kept. */
export class Entrance {
  readonly #rates: Rates
  readonly #inside = new Map<string, number>()
  #all = 0

  constructor(clock: Clock) {
    this.#rates = new Rates(clock, OF_ONE, OF_ALL)
  }

  /** Lets a peer begin. Returns the function that ends it. Undefined: too many are under way, or came lately. */
  enter(name: string): (() => void) | undefined {
    const own = this.#inside.get(name) ?? 0
    if (own >= AT_ONCE_OF_ONE || this.#all >= AT_ONCE_OF_ALL || !this.#rates.take(name)) return undefined
    this.#inside.set(name, own + 1)
    this.#all++
    let isOut = false
    return () => {
      if (isOut) return
      isOut = true
      this.#all--
      const left = (this.#inside.get(name) ?? 1) - 1
      if (left === 0) this.#inside.delete(name)
      else this.#inside.set(name, left)
    }
  }
}
