/** Lets so many through at once. The others wait their turn, in order, and only so many of them. */
export class Semaphore {
  readonly #most: number
  readonly #waitingMost: number
  #inside = 0
  /** From `#first` on; what is before it has had its turn. */
  #waiting: (() => void)[] = []
  #first = 0

  constructor(most: number, waitingMost: number) {
    this.#most = most
    this.#waitingMost = waitingMost
  }

  /** Undefined: too many wait already, and `act` was not run. Rejects as `act` does. */
  async run<T>(act: () => Promise<T>): Promise<T | undefined> {
    if (this.#inside < this.#most) this.#inside++
    else if (this.waiting >= this.#waitingMost) return undefined
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await act()
    } finally {
      const next = this.#shift()
      // Its place goes to the next one, so that nobody slips in between.
      if (next) next()
      else this.#inside--
    }
  }

  get waiting(): number {
    return this.#waiting.length - this.#first
  }

  // Array.shift moves all that follow, each time; here they move once for as many as there are. A thousand that wait are
  // let in in half the time, twenty thousand in a fifth.
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
