/** What one page or process may hold exclusively while it lives; `navigator.locks` is one. */
export interface Locks {
  request(name: string, options: { signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>
}

/** `taken`: another one holds it. `broken`: these locks do not work here, as in a sandboxed frame. */
export type Locked = { release: () => void } | 'taken' | 'broken'

/** A reloading page lets go of its lock within this, on a busy machine too; a page that was duplicated never does. */
const LOCK_WAIT_MS = 2_000

/** Waits for the lock, 2 s at most. Never rejects. */
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
      // Once it is held, the end of the request is not heeded.
      Promise.resolve(locks.request(name, { signal: wait.signal }, held)).then(broken, broken)
    } catch {
      broken()
    }
  })
}

/** Locks of this process alone, where the platform has none. Whoever comes second waits. */
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
