import type { Clock } from '@peerage/core'

/** Resolves after `ms` milliseconds of a clock. */
export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve))
}
