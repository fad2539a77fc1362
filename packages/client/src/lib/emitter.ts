import { aFunction, check, checkKnown } from './check.js'

type Listener<A extends unknown[]> = (...args: A) => unknown

/** Typed events. A listener that throws or rejects stops neither the others nor the emitter: `onError` has its error. */
export class Emitter<E extends { [K in keyof E]: unknown[] }> {
  readonly #events: Record<keyof E, true>
  readonly #listeners: { [K in keyof E]?: Set<Listener<E[K]>> } = {}
  readonly #onError: (error: unknown, event: keyof E) => void

  /** `events` names every one: nobody can listen for another. */
  constructor(events: Record<keyof E, true>, onError: (error: unknown, event: keyof E) => void) {
    this.#events = events
    this.#onError = onError
  }

  /**
   * Returns the way to stop listening.
   * @throws TypeError for an event that there is not, or a listener that is no function
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
    this.#listeners[event]?.delete(listener)
  }

  has(event: keyof E): boolean {
    return (this.#listeners[event]?.size ?? 0) > 0
  }

  emit<K extends keyof E>(event: K, ...args: E[K]): void {
    for (const listener of Array.from(this.#listeners[event] ?? []))
      try {
        const result = listener(...args)
        // Of an async listener nobody waits for the end, but its error is heard.
        // Any thenable is one: promises of other realms and libraries are no `Promise` of this one.
        if (Object(result) === result)
          Promise.resolve(result).catch((error: unknown) => this.#onError(error, event))
      } catch (error) {
        this.#onError(error, event)
      }
  }
}
