/** The core's source of time. It is passed in, so that tests can control it. */
export interface Clock {
  /** Milliseconds since 1970. May jump. Only for logs and for times that peers are told. */
  now(): number
  /** Milliseconds that never jump, for deadlines and fencing. Comparable only within this process. */
  monotonic(): number
  /**
   * Runs `task` once after `ms`, and only after everything that has arrived by then has been read. So an answer that
   * waits in a socket of a busy process has not missed its deadline. The timer does not keep the process alive.
   */
  after(ms: number, task: () => void): Timer
}

export interface Timer {
  cancel(): void
}

/**
 * A timer that is this late was delayed together with its process, and often together with the whole machine, including
 * the process that must answer.
 */
const HELD_UP_MS = 100
/** After such a delay, the answer may take this long before the deadline counts as passed. */
const CATCH_UP_MS = 50

/** The longest time that a timer can count. setTimeout turns a longer one into 1 ms. */
const TIMER_MOST_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, task) {
    let read: NodeJS.Immediate | undefined
    // The event loop runs timers, then reads, then immediates.
    const pass = (): void => {
      read = setImmediate(task)
    }
    const timerMs = ms < TIMER_MOST_MS ? ms : TIMER_MOST_MS
    const due = performance.now() + timerMs
    let timer = setTimeout(() => {
      if (performance.now() - due < HELD_UP_MS) return pass()
      timer = setTimeout(pass, CATCH_UP_MS).unref()
    }, timerMs).unref()
    return {
      cancel: () => {
        clearTimeout(timer)
        clearImmediate(read)
      },
    }
  },
}
