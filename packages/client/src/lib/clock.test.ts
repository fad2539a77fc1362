import { expect, test, vi } from 'vitest'
import { systemClock } from './clock.js'

test('[WD18] a delay that is longer than setTimeout takes does not end at once', () => {
  vi.useFakeTimers()
  try {
    let ran = 0
    for (const ms of [Infinity, 2 ** 31, NaN]) systemClock.after(ms, () => ran++)
    vi.advanceTimersByTime(86_400_000)
    expect(ran).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})
