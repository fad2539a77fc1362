import { aFunction, check, checkKnown } from './check.js'

type Listener<A extends unknown[]> = (...args: A) => unknown

/**
 * Typed events. If a listener throws or rejects, `onError` gets the error, and the other listeners run all the same.
 */
export class Emitter<E extends { [K in keyof E]: unknown[] }> {
  readonly #events: Record<keyof E, true>
  readonly #listeners: { [K in keyof E]?: Set<Listener<E[K]>> } = {}
  readonly #onError: (error: unknown, event: keyof E) => void

  /** `events` has the name of every event. */
  constructor(events: Record<keyof E, true>, onError: (error: unknown, event: keyof E) => void) {
    this.#events = events
    this.#onError = onError
  }

  /**
   * Returns a function that removes the listener.
   * @throws TypeError for an unknown event, or for a listener that is not a function
   */
  on<K extends keyof E>(event: K, listener: Listener<E[K]>): () => void {
    checkKnown('event', event, this.#events)
    check('listener', listener, aFunction)
    const set = (this.#listeners[event] ??= new Set())
    set.add(listener)
    return () => set.delete(listener)
  }

  off<K extends keyof E>(event: K, listener: Listener<E[K]>): void {
    checkKnown('event', event, this.#events)
    check('listener', listener, aFunction)
    this.#listeners[event]?.delete(listener)
  }

  has(event: keyof E): boolean {
    return (this.#listeners[event]?.size ?? 0) > 0
  }

  emit<K extends keyof E>(event: K, ...args: E[K]): void {
    for (const listener of Array.from(this.#listeners[event] ?? []))
      try {
        const result = listener(...args)
        // We do not wait for an async listener, but we report its error. Any thenable counts, because promises of
        // other realms and libraries are not instances of this realm's `Promise`.
        if (Object(result) === result)
          Promise.resolve(result).catch((error: unknown) => this.#onError(error, event))
      } catch (error) {
        this.#onError(error, event)
      }
  }
}
