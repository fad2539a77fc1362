/** Actions that run in the background, so that a stop can wait for them. */
export class Running {
  readonly #actions = new Set<Promise<unknown>>()

  add<T>(action: Promise<T>): Promise<T> {
    this.#actions.add(action)
    return action.finally(() => this.#actions.delete(action))
  }

  /** Resolves when every action that runs now has ended, however it ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#actions)
  }
}
