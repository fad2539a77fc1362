import { onAbort } from './abort.js'
import { PeerageError } from './error.js'
import type { PartWait } from './ground.js'

const FIRST_MS = 250
const MOST_MS = 4_000
/** As long as `connect` waits by default. */
const DEADLINE_MS = 30_000

/**
 * A file of the SDK, which exports `name`; asked for again while the network fails. Rejects with the signal's reason, or
 * with a PeerageError `not-loaded`: at once where asking again cannot help, else at the deadline, or where the
 * signal's reason is a PeerageError, a timeout, which would not say why.
 */
export function loadPart<T extends object>(
  load: () => Promise<T>,
  name: string & keyof T,
  { clock, signal, deadlineMs = DEADLINE_MS }: PartWait,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let failure: PeerageError | undefined
    let over = false
    const end = (finish: () => void): void => {
      over = true
      deadline.cancel()
      ignore()
      finish()
    }
    const abort = (): void =>
      end(() => reject(signal?.reason instanceof PeerageError ? (failure ?? signal.reason) : signal?.reason))
    const deadline = clock.after(deadlineMs, () => end(() => reject(failure ?? notLoaded('no answer'))))
    const ignore = onAbort(signal, abort)
    const attempt = (waitMs: number, ask: () => Promise<T>): void => {
      ask().then(
        (part) => {
          if (!over) end(() => resolve(part))
        },
        (error: unknown) => {
          if (over) return
          failure = notLoaded(error)
          if (isForGood(error)) return end(() => reject(failure))
          clock.after(waitMs, () => {
            if (!over) attempt(Math.min(MOST_MS, 2 * waitMs), () => again(load, name, error))
          })
        },
      )
    }
    if (signal?.aborted) return abort()
    attempt(FIRST_MS, load)
  })
}

function notLoaded(cause: unknown): PeerageError {
  const what = cause instanceof Error ? cause.message : String(cause)
  return new PeerageError(
    'not-loaded',
    `a part of the SDK could not be loaded: ${what}. Reload the page; where no file can be loaded later, as in a ` +
      `service worker or in a bundle of one file, import '@peerage/client/static'`,
  )
}

/** A service worker may not load code later; a file that Node does not find is not there. */
function isForGood(error: unknown): boolean {
  if ('ServiceWorkerGlobalScope' in globalThis) return true
  return error instanceof Error && 'code' in error && String(error.code).endsWith('MODULE_NOT_FOUND')
}

/**
 * In Firefox a module that failed to load once stays failed under its URL (HTML's module map), so it is asked for under
 * another one, where the error names the URL. What a bundler has renamed inside is not taken.
 */
async function again<T extends object>(
  load: () => Promise<T>,
  name: string & keyof T,
  error: unknown,
): Promise<T> {
  try {
    return await load()
  } catch (same) {
    const url = /https?:\/\/\S+/.exec(error instanceof Error ? error.message : '')?.[0]
    if (url === undefined) throw same
    const fresh = new URL(url)
    fresh.searchParams.set('again', String(Date.now()))
    const part: T = await import(
      /* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ fresh.href
    )
    if (typeof part[name] !== 'function') throw same
    return part
  }
}
