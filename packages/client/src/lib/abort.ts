interface Waiting {
  ends: Set<() => void>
  listener: () => void
}

const waiting = new WeakMap<AbortSignal, Waiting>()

/**
 * Calls `end` when the signal aborts, unless what is returned was called before. One listener a signal, however many
 * wait on it: Node warns of a leak past ten.
 */
export function onAbort(signal: AbortSignal | undefined, end: () => void): () => void {
  if (signal === undefined) return () => {}
  const { ends, listener } = waiting.get(signal) ?? start(signal)
  ends.add(end)
  return () => {
    if (!ends.delete(end) || ends.size > 0) return
    signal.removeEventListener('abort', listener)
    waiting.delete(signal)
  }
}

/** Rejects with the signal's reason when that comes first; what comes of the work then is for `tooLate`. */
export function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  tooLate: (result: T) => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal?.reason)
      void work.then(tooLate)
    }
    if (signal?.aborted) return abort()
    const ignore = onAbort(signal, abort)
    void work.then(resolve, reject).finally(ignore)
  })
}

function start(signal: AbortSignal): Waiting {
  const ends = new Set<() => void>()
  const made = {
    ends,
    listener: () => {
      for (const end of ends) end()
    },
  }
  signal.addEventListener('abort', made.listener)
  waiting.set(signal, made)
  return made
}

/** What a wait that was aborted rejects with: anything, for an application may name any reason. */
export function abortError(signal: AbortSignal | undefined): unknown {
  return signal?.reason
}
