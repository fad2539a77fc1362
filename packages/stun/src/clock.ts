/** The clock of this package, passed in so that tests control it. The `Clock` of @peerage/core is one. */
export interface StunClock {
  /** Milliseconds from a fixed moment. It never jumps, even if the system's clock does. */
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
