import type { Clock, Timer } from '../lib/clock.js'

/** Time that stands still until it is told to go on. */
export class FakeClock implements Clock {
  #now = 1_000_000
  #timers = new Set<{ at: number; task: () => void }>()

  now(): number {
    return this.#now
  }

  after(ms: number, task: () => void): Timer {
    const timer = { at: this.#now + ms, task }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  get pending(): number {
    return this.#timers.size
  }

  /** Runs what comes due within `ms`, in order, and everything that each of them sets off. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settled()
    for (;;) {
      let next: { at: number; task: () => void } | undefined
      for (const timer of this.#timers)
        if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.task()
      await settled()
    }
    this.#now = end
  }
}

/** Every microtask that is under way has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
