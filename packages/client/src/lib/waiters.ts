import { abortError, onAbort } from './abort.js'
import type { Clock } from './clock.js'

type Settle<T> = (value: T | undefined, error?: unknown) => void

/** Several callers that wait for the same result, each with its own signal and deadline. */
export class Waiters<T extends object> {
  readonly #waiting = new Set<Settle<T>>()

  get size(): number {
    return this.#waiting.size
  }

  /**
   * `aborted` runs after the caller's signal has ended the wait. `late` runs at the deadline, and may settle the wait.
   */
  wait(
    clock: Clock,
    deadlineMs: number,
    signal: AbortSignal | undefined,
    aborted: () => void,
    late: (settle: Settle<T>) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle: Settle<T> = (value, error) => {
        timer.cancel()
        ignore()
        this.#waiting.delete(settle)
        if (value) resolve(value)
        else reject(error)
      }
      const ignore = onAbort(signal, () => {
        settle(undefined, abortError(signal))
        aborted()
      })
      const timer = clock.after(deadlineMs, () => late(settle))
      this.#waiting.add(settle)
    })
  }

  /** Ends all waits: with the result, or with the error if there is none. */
  settle(value: T | undefined, error?: unknown): void {
    for (const settle of this.#waiting) settle(value, error)
  }
}
