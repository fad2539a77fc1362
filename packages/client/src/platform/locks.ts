/** Exclusive locks that a page or process holds while it lives, such as `navigator.locks`. */
export interface Locks {
  request(name: string, options: { signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>
}

/** `taken`: another page or process holds the lock. `broken`: locks do not work here, as in a sandboxed frame. */
export type Locked = { release: () => void } | 'taken' | 'broken'

/**
 * A page that reloads releases its lock within this time, also on a busy machine. The original of a duplicated page
 * never does.
 */
const LOCK_WAIT_MS = 2_000

/** Waits for the lock, for at most 2 s. Never rejects. */
export function lock(locks: Locks, name: string): Promise<Locked> {
  return new Promise((resolve) => {
    const wait = new AbortController()
    const end = (locked: Locked): void => {
      clearTimeout(timer)
      resolve(locked)
    }
    const timer = setTimeout(() => {
      resolve('taken')
      wait.abort()
    }, LOCK_WAIT_MS)
    const held = (): Promise<void> =>
      wait.signal.aborted ? Promise.resolve() : new Promise((release) => end({ release }))
    const broken = (): void => end('broken')
    try {
      // Once the lock is held, the end of the request has no effect, because the promise is resolved.
      Promise.resolve(locks.request(name, { signal: wait.signal }, held)).then(broken, broken)
    } catch {
      broken()
    }
  })
}

/** Locks within this process, for platforms without any. The second caller waits for the first. */
export class MemoryLocks implements Locks {
  readonly #held = new Map<string, Promise<void>>()

  async request(name: string, { signal }: { signal: AbortSignal }, held: () => Promise<void>): Promise<void> {
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
    for (let holder = this.#held.get(name); holder; holder = this.#held.get(name)) {
      await Promise.race([holder, aborted])
      signal.throwIfAborted()
    }
    const holding = held().finally(() => this.#held.delete(name))
    this.#held.set(name, holding)
    await holding
  }
}
