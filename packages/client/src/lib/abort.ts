interface Waiting {
  ends: Set<() => void>
  listener: () => void
}

const waiting = new WeakMap<AbortSignal, Waiting>()

/**
 * Calls `end` when the signal aborts. Returns a function that cancels this. A signal has one listener of ours, however
 * many callers wait for it, because Node warns of a leak from the eleventh listener on.
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

/**
 * Settles as `work` does, or rejects with the signal's reason if the signal aborts first. Then `tooLate` gets the result
 * of `work`.
 */
export function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  tooLate: (result: T) => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal?.reason)
      // Nobody waits for it any more, so nobody hears how it fails.
      work.then(tooLate, () => undefined)
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

/** The error that an aborted wait rejects with. It may be of any type, because the application chooses the reason. */
export function abortError(signal: AbortSignal | undefined): unknown {
  return signal?.reason
}
