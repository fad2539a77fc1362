type Listener<A extends unknown[]> = (...args: A) => void

/** Typed events. A listener that throws stops neither the others nor the emitter: its error goes to `onError`. */
export class Emitter<E extends { [K in keyof E]: unknown[] }> {
  readonly #listeners: { [K in keyof E]?: Set<Listener<E[K]>> } = {}
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Returns the way to stop listening. */
  on<K extends keyof E>(event: K, listener: Listener<E[K]>): () => void {
    const set = (this.#listeners[event] ??= new Set())
    set.add(listener)
    return () => set.delete(listener)
  }

  off<K extends keyof E>(event: K, listener: Listener<E[K]>): void {
    this.#listeners[event]?.delete(listener)
  }

  has(event: keyof E): boolean {
    return (this.#listeners[event]?.size ?? 0) > 0
  }

  emit<K extends keyof E>(event: K, ...args: E[K]): void {
    for (const listener of Array.from(this.#listeners[event] ?? []))
      try {
        listener(...args)
      } catch (error) {
        this.#onError(error)
      }
  }
}
