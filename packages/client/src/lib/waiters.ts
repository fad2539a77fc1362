import { abortError, onAbort } from './abort.js'
import type { Clock } from './clock.js'

type Settle<T> = (value: T | undefined, error?: unknown) => void

/** Who waits for one thing, each with a signal and a deadline of its own. */
export class Waiters<T extends object> {
  readonly #waiting = new Set<Settle<T>>()

  get size(): number {
    return this.#waiting.size
  }

  /** `aborted`: its signal aborts, and it waits no longer. `late`: its deadline has passed; it may be made to fail. */
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

  /** All of them: what they wait for, or why there is none. */
  settle(value: T | undefined, error?: unknown): void {
    for (const settle of this.#waiting) settle(value, error)
  }
}
