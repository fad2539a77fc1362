/** Lets so many through at once; the others wait their turn, in order. */
export class Gate {
  readonly #most: number
  #inside = 0
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
  }

  async run<T>(act: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#inside++
    try {
      return await act()
    } finally {
      const next = this.#waiting.shift()
      // Its place goes to the next one, so that nobody slips in between.
      if (next) next()
      else this.#inside--
    }
  }

  get waiting(): number {
    return this.#waiting.length
  }
}
