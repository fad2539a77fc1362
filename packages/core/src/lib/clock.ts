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

/** A timer so late was held up together with its process: often with the whole machine, and with whoever is to answer. */
const HELD_UP_MS = 100
/** Then they get this long before a deadline has passed. */
const CATCH_UP_MS = 50

/** What a timer can count. Of more, setTimeout makes 1 ms. */
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
