/** Time as this package sees it; core's `Clock` is one. Passed in, so that tests own it. */
export interface StunClock {
  /** Milliseconds that never jump. */
  monotonic(): number
  /** Runs `task` once after `ms`. */
  after(ms: number, task: () => void): { cancel(): void }
}

export const systemClock: StunClock = {
  monotonic: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms)
    return { cancel: () => clearTimeout(timer) }
  },
}
