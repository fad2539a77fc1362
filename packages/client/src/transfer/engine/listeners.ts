/** Functions that are called when something happens. If one throws, the others run all the same. */
export class Listeners<T> {
  readonly #onError: (error: unknown) => void
  readonly #listeners = new Set<(value: T) => void>()

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Returns a function that removes the listener. */
  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(value: T): void {
    for (const listener of Array.from(this.#listeners))
      try {
        listener(value)
      } catch (error) {
        this.#onError(error)
      }
  }

  clear(): void {
    this.#listeners.clear()
  }
}
