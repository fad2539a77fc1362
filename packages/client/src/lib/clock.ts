import { check, objectWith } from './check.js'

/** Time as the SDK sees it. Passed in, so that tests own it; the core's clock fits too. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Runs `task` once after `ms`. */
  after(ms: number, task: () => void): Timer
}

export interface Timer {
  cancel(): void
}

/** What a timer can count. Of more, setTimeout makes 1 ms. */
const TIMER_MOST_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms < TIMER_MOST_MS ? ms : TIMER_MOST_MS)
    return { cancel: () => clearTimeout(timer) }
  },
}

const aTimer = objectWith('a Timer', 'cancel')

/** @throws TypeError for a clock whose timers cannot be cancelled: that would fail later, where nobody waits for it */
export function checkTimers(clock: Clock): void {
  const timer = clock.after(0, () => {})
  check('what `after` of `clock` returns', timer, aTimer)
  timer.cancel()
}
