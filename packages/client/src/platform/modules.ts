import { onAbort } from '../lib/abort.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError } from '../lib/error.js'
import type * as P2PModule from '../p2p/p2p.js'
import type * as RoomsModule from '../rooms/rooms.js'
import type * as RenewalModule from '../tier/renewal.js'

/**
 * The modules of the SDK that nothing needs before the first welcome. Each function rejects with the signal's reason,
 * or with a PeerageError `not-loaded`. Only `connect` and Peer know these modules. The modules themselves import the
 * session, and never the other way round.
 */
export interface Modules {
  p2p: (options: LoadOptions) => Promise<typeof P2PModule>
  rooms: (options: LoadOptions) => Promise<typeof RoomsModule>
  renewal: (options: LoadOptions) => Promise<typeof RenewalModule>
}

export interface LoadOptions {
  clock: Clock
  signal: AbortSignal | undefined
  /** Milliseconds until loading fails; default: 30,000. */
  deadlineMs?: number
}

/** Each module is a file of its own, loaded when it is first needed, so that a page starts sooner. */
export const lazyModules: Modules = {
  p2p: (options) => loadModule(() => import('../p2p/p2p.js'), 'createP2P', options),
  rooms: (options) => loadModule(() => import('../rooms/rooms.js'), 'Room', options),
  renewal: (options) => loadModule(() => import('../tier/renewal.js'), 'Renewal', options),
}

const FIRST_MS = 250
const MOST_MS = 4_000
/** As long as `connect` waits by default. */
const DEADLINE_MS = 30_000

/**
 * Loads a module of the SDK, which has an export `name`, and tries again while that fails [PP39]. Rejects with the
 * signal's reason, or with a PeerageError `not-loaded`: at once if trying again cannot help, else at the deadline. If
 * the signal's reason is a PeerageError (the timeout of `connect`), it rejects with `not-loaded` instead, which says
 * more.
 */
export function loadModule<T extends object>(
  load: () => Promise<T>,
  name: string & keyof T,
  { clock, signal, deadlineMs = DEADLINE_MS }: LoadOptions,
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
      timers.add(clock.after(waitMs, () => attempt(loadAgain(load, name, error))))
      waitMs = Math.min(MOST_MS, 2 * waitMs)
    }
    const attempt = (loading: Promise<T>): void => {
      loading.then((module) => {
        end()
        resolve(module)
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
    `a file of the SDK could not be loaded: ${what}. Reload the page, or import '@peerage/client/static', which loads no files later`,
  )
}

/** A service worker may not load code after its start. If Node reports a file as missing, trying again cannot help. */
function isForGood(error: unknown): boolean {
  if ('ServiceWorkerGlobalScope' in globalThis) return true
  return error instanceof Error && 'code' in error && String(error.code).endsWith('MODULE_NOT_FOUND')
}

/**
 * In Firefox, a module that failed to load keeps failing under the same URL. So we also load it under another URL, if
 * the error names its URL as browsers do. If a bundler has renamed the exports, the result is of no use.
 */
async function loadAgain<T extends object>(
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
    const module: T = await import(
      /* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ fresh.href
    )
    if (module[name] === undefined) throw same
    return module
  }
}
