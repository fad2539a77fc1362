/** Time as the core sees it. Passed in, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch; may jump. Only for logs and for what peers are told. */
  now(): number
  /** Milliseconds that never jump and go on through nothing but this process: for deadlines and fencing. */
  monotonic(): number
  /** Runs `task` once after `ms`. The timer does not keep the process alive. */
  after(ms: number, task: () => void): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
