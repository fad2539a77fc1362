import type { Clock, Timer } from '../lib/clock.js'

export interface FakeClock extends Clock {
  /** Lets time pass: timers run in the order of their times, each at its own time, each followed by its promises. */
  advance(ms: number): Promise<void>
  /** The time of day jumps; what has passed does not. */
  jump(ms: number): void
  /** How many timers wait: none when everything has stopped. */
  readonly pending: number
}

const START_MS = 1_800_000_000_000
/** Enough turns of the microtask queue for the longest chain of awaits that a test waits for. */
const TURNS = 50

/** A clock that stands still until a test moves it. */
export function fakeClock(): FakeClock {
  let passed = 0
  let jumped = 0
  let order = 0
  const timers = new Set<{ at: number; order: number; task: () => void }>()
  const next = (until: number): { at: number; order: number; task: () => void } | undefined => {
    let first: { at: number; order: number; task: () => void } | undefined
    for (const timer of timers) {
      if (timer.at > until) continue
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    }
    return first
  }
  return {
    now: () => START_MS + passed + jumped,
    monotonic: () => passed,
    after(ms: number, task: () => void): Timer {
      const timer = { at: passed + Math.max(0, ms), order: order++, task }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    async advance(ms) {
      const until = passed + ms
      await settle()
      for (let timer = next(until); timer !== undefined; timer = next(until)) {
        timers.delete(timer)
        passed = Math.max(passed, timer.at)
        timer.task()
        await settle()
      }
      passed = until
      await settle()
    },
    jump(ms) {
      jumped += ms
    },
    get pending() {
      return timers.size
    },
  }
}

/** Lets everything run that waits for promises only. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await Promise.resolve()
}
