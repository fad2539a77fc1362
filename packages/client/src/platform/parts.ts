import { onAbort } from '../lib/abort.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError } from '../lib/error.js'
import type * as P2PPart from '../p2p/p2p.js'
import type * as RoomsPart from '../rooms/rooms.js'

/**
 * What nothing needs before the first welcome. Each rejects with the signal's reason, or with a PeerageError
 * `not-loaded`. Only `connect` and Peer know of them: what is in the parts imports the session, never the other way.
 */
export interface Parts {
  p2p: (wait: PartWait) => Promise<typeof P2PPart>
  rooms: (wait: PartWait) => Promise<typeof RoomsPart>
}

export interface PartWait {
  clock: Clock
  signal: AbortSignal | undefined
  /** Milliseconds until it has failed; default: 30,000. */
  deadlineMs?: number
}

/** Each in a file of its own, loaded when it is first needed: a page is there sooner. */
export const lazyParts: Parts = {
  p2p: (wait) => loadPart(() => import('../p2p/p2p.js'), 'createP2P', wait),
  rooms: (wait) => loadPart(() => import('../rooms/rooms.js'), 'Room', wait),
}

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
    let isOver = false
    let waitMs = FIRST_MS
    const timers = new Set<Timer>()
    const end = (): void => {
      isOver = true
      for (const timer of timers) timer.cancel()
      ignore()
    }
    const fail = (reason: unknown): void => {
      end()
      reject(reason instanceof PeerageError ? (failure ?? reason) : reason)
    }
    const failed = (error: unknown): void => {
      if (isOver) return
      failure = notLoaded(error)
      if (isForGood(error)) return fail(failure)
      timers.add(clock.after(waitMs, () => attempt(again(load, name, error))))
      waitMs = Math.min(MOST_MS, 2 * waitMs)
    }
    const attempt = (asked: Promise<T>): void => {
      asked.then((part) => {
        end()
        resolve(part)
      }, failed)
    }
    timers.add(clock.after(deadlineMs, () => fail(notLoaded('no answer'))))
    const ignore = onAbort(signal, () => fail(signal?.reason))
    if (signal?.aborted) fail(signal.reason)
    else attempt(load())
  })
}

function notLoaded(cause: unknown): PeerageError {
  const what = cause instanceof Error ? cause.message : String(cause)
  return new PeerageError(
    'not-loaded',
    `a part of the SDK could not be loaded: ${what}. Reload the page, or import '@peerage/client/static', which has no parts`,
  )
}

/** A service worker may not load code later; a file that Node does not find is not there. */
function isForGood(error: unknown): boolean {
  if ('ServiceWorkerGlobalScope' in globalThis) return true
  return error instanceof Error && 'code' in error && String(error.code).endsWith('MODULE_NOT_FOUND')
}

/**
 * In Firefox a module that failed once stays failed under its URL, so it is asked for under another, where the error
 * names the URL as browsers do. What a bundler has renamed inside is not taken.
 */
async function again<T extends object>(
  load: () => Promise<T>,
  name: string & keyof T,
  error: unknown,
): Promise<T> {
  try {
    return await load()
  } catch (same) {
    const [, url] = / dynamically imported module: (\S+)$/.exec(String(error)) ?? []
    if (url === undefined) throw same
    const fresh = new URL(url)
    fresh.searchParams.set('again', String(Date.now()))
    const part: T = await import(
      /* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ fresh.href
    )
    if (part[name] === undefined) throw same
    return part
  }
}
