const START_MS = 1_800_000_000_000

interface Waiting {
  atMs: number
  task: () => void
}

/** A clock that stands still until a test advances it. core, the SDK and the STUN server all accept it. */
export class FakeClock {
  #passedMs = 0
  #jumpedMs = 0
  readonly #timers = new Set<Waiting>()

  now(): number {
    return START_MS + this.#passedMs + this.#jumpedMs
  }

  monotonic(): number {
    return this.#passedMs
  }

  after(ms: number, task: () => void): { cancel(): void } {
    const timer = { atMs: this.#passedMs + Math.max(0, ms), task }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  /** The number of waiting timers: 0 when everything has stopped. */
  get pending(): number {
    return this.#timers.size
  }

  /** Changes the time of day, but not the monotonic time. */
  jump(ms: number): void {
    this.#jumpedMs += ms
  }

  /** Lets time pass. Timers run in the order of their times, and all that one starts has run before the next timer. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#passedMs + ms
    await settled()
    while (this.#runNext(untilMs)) await settled()
    this.#passedMs = untilMs
  }

  /** As `advance`, but synchronous: promises run afterwards. For a test that must see what a timer sends at once. */
  advanceSync(ms: number): void {
    const untilMs = this.#passedMs + ms
    while (this.#runNext(untilMs));
    this.#passedMs = untilMs
  }

  #runNext(untilMs: number): boolean {
    let next: Waiting | undefined
    // The set keeps the order in which timers were set: of two with the same time, the first one runs first.
    for (const timer of this.#timers)
      if (timer.atMs <= untilMs && (next === undefined || timer.atMs < next.atMs)) next = timer
    if (next === undefined) return false
    this.#timers.delete(next)
    this.#passedMs = Math.max(this.#passedMs, next.atMs)
    next.task()
    return true
  }
}

/** Resolves when all pending promises have run. No socket is read meanwhile. */
export async function settled(): Promise<void> {
  // A tick requested by a promise's reaction comes when no more reactions wait, and before the event loop continues.
  await Promise.resolve()
  await new Promise<void>((resolve) => process.nextTick(resolve))
}
