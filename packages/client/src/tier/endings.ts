import { onAbort } from '../lib/abort.js'

/** What this page or process is about to give back, by app and name. */
const endings = new Map<string, Set<Promise<void>>>()

/** The stay under `key` is over when `end` has resolved; that takes 2 s at most. */
export function willEnd(key: string, end: Promise<void>): void {
  const ends = endings.get(key) ?? new Set()
  endings.set(key, ends.add(end))
  void end.finally(() => {
    ends.delete(end)
    if (ends.size === 0 && endings.get(key) === ends) endings.delete(key)
  })
}

/**
 * Waits until all that was under `key` has been given back: over another socket a new hello could overtake it, and meet
 * a name that this very page still holds. Rejects with the signal's reason.
 */
export async function untilEnded(key: string, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  const ends = endings.get(key)
  if (ends === undefined) return
  let ignore = (): void => {}
  const aborted = new Promise<void>((_, reject) => {
    ignore = onAbort(signal, () => reject(signal?.reason))
  })
  await Promise.race([Promise.all(ends), aborted]).finally(ignore)
}
