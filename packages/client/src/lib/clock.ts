import { check, objectWith } from './check.js'

/** The SDK's source of time, so that a test can control it. The clocks of `@peerage/core` have this interface too. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC, as `Date.now()` returns them. */
  now(): number
  /** Runs `task` once, after `ms` milliseconds. */
  after(ms: number, task: () => void): Timer
}

/** A timer that a `Clock` has started. */
export interface Timer {
  /** Stops the timer. It has no effect after the task has run. */
  cancel(): void
}

/** The longest delay that setTimeout takes. It treats a longer one as 1 ms. */
const TIMER_MOST_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms < TIMER_MOST_MS ? ms : TIMER_MOST_MS)
    return { cancel: () => clearTimeout(timer) }
  },
}

const aTimer = objectWith('a Timer', 'cancel')

/** @throws TypeError for a clock whose timers cannot be cancelled, which would fail later, where no caller sees it */
export function checkTimers(clock: Clock): void {
  const timer = clock.after(0, () => {})
  check('what `after` of `clock` returns', timer, aTimer)
  timer.cancel()
}
