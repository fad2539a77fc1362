/** Those who want to know of each change. An error that one of them throws is its own. */
export class Listeners {
  readonly #listeners = new Set<() => void>()
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Returns a function that removes the listener. */
  add(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(): void {
    for (const listener of this.#listeners)
      try {
        listener()
      } catch (error) {
        this.#onError(error)
      }
  }
}
