/** Hands each item to the listener. Items that come while there is none are kept for the next one. */
export class Unheard<T> {
  #listener: ((item: T) => void) | undefined
  #kept: T[] = []

  push(item: T): void {
    if (this.#listener === undefined) this.#kept.push(item)
    else this.#listener(item)
  }

  /** How many items wait for a listener. */
  get waiting(): number {
    return this.#kept.length
  }

  /** The oldest item that waits. Undefined: none does. */
  take(): T | undefined {
    return this.#kept.shift()
  }

  /** There is one listener at a time. Returns a function that removes it. */
  listen(listener: (item: T) => void): () => void {
    this.#listener = listener
    // A listener may remove itself, such as when it hands over to the next one.
    while (this.#listener === listener) {
      const item = this.#kept.shift()
      if (item === undefined) break
      listener(item)
    }
    return () => {
      if (this.#listener === listener) this.#listener = undefined
    }
  }
}
