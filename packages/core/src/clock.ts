/** Time as the core sees it. Passed in, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch; may jump. Only for logs and for what peers are told. */
  now(): number
  /** Milliseconds that never jump and go on through nothing but this process: for deadlines and fencing. */
  monotonic(): number
  /**
   * Runs `task` once after `ms`, and after what has arrived by then has been read: an answer that lies in a socket of a
   * busy process has not missed its deadline. The timer does not keep the process alive.
   */
  after(ms: number, task: () => void): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, task) {
    let read: NodeJS.Immediate | undefined
    // The event loop runs timers, then reads, then immediates.
    const timer = setTimeout(() => {
      read = setImmediate(task)
    }, ms)
    timer.unref()
    return {
      cancel: () => {
        clearTimeout(timer)
        clearImmediate(read)
      },
    }
  },
}
