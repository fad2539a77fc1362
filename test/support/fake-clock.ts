const START_MS = 1_800_000_000_000

interface Waiting {
  atMs: number
  task: () => void
}

/** A clock that stands still until a test moves it; core, the SDK and the STUN server all take it. */
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

  /** How many timers wait: none when everything has stopped. */
  get pending(): number {
    return this.#timers.size
  }

  /** The time of day jumps; what has passed does not. */
  jump(ms: number): void {
    this.#jumpedMs += ms
  }

  /** Lets time pass: timers run in the order of their times, each at its own, each followed by all that it sets off. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#passedMs + ms
    await settled()
    while (this.#runNext(untilMs)) await settled()
    this.#passedMs = untilMs
  }

  /** The same at once, for who must not miss what a timer sends: promises run afterwards. */
  advanceSync(ms: number): void {
    const untilMs = this.#passedMs + ms
    while (this.#runNext(untilMs));
    this.#passedMs = untilMs
  }

  #runNext(untilMs: number): boolean {
    let next: Waiting | undefined
    // They lie in the order in which they were set: of two at one time the first one runs first.
    for (const timer of this.#timers)
      if (timer.atMs <= untilMs && (next === undefined || timer.atMs < next.atMs)) next = timer
    if (next === undefined) return false
    this.#timers.delete(next)
    this.#passedMs = Math.max(this.#passedMs, next.atMs)
    next.task()
    return true
  }
}

/** All promises that were under way have run; no socket has been read meanwhile. */
export async function settled(): Promise<void> {
  // A tick that is asked for by a promise's reaction comes when no more reactions wait, and before the event loop goes on.
  await Promise.resolve()
  await new Promise<void>((resolve) => process.nextTick(resolve))
}
