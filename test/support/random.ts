/** Random numbers from a seed: the same seed gives the same sequence (mulberry32). */
export interface Random {
  /** At least 0, below 1. */
  next(): number
  /** A whole number, at least `low` and at most `high`. */
  between(low: number, high: number): number
  /** Intervals of events that happen on average every `mean`: many short ones, few long ones. */
  exponential(mean: number): number
  /** A random element of a list that is not empty. */
  pick<T>(list: readonly T[]): T
}

export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
  return {
    next,
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    exponential: (mean) => -mean * Math.log(1 - next()),
    pick: <T>(list: readonly T[]): T => {
      const chosen = list[Math.floor(next() * list.length)]
      if (chosen === undefined) throw new Error('nothing to pick from')
      return chosen
    },
  }
}
