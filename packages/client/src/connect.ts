import type { Secret } from '@peerage/protocol'
import { parseApp, parseSecret } from '@peerage/protocol'
import { onAbort, unlessAborted } from './lib/abort.js'
import {
  aFalse,
  aFlag,
  aFunction,
  aNull,
  aPeerConnectionClass,
  aSignal,
  aText,
  aTime,
  anObject,
  checkOptions,
  either,
  objectWith,
} from './lib/check.js'
import type { Kinds } from './lib/check.js'
import { checkTimers, systemClock } from './lib/clock.js'
import type { Clock } from './lib/clock.js'
import { PeerageError } from './lib/error.js'
import type { Modules } from './platform/modules.js'
import type { Platform } from './platform/platform.js'
import { openIdentity } from './tier/identity.js'
import type { IdentityPlace, IdentityStorage } from './tier/identity.js'
import type { FailedAttempt } from './tier/connector.js'
import type { P2P } from './p2p/controls.js'
import { LateP2P } from './p2p/late-p2p.js'
import { checkP2PServer, hasServer } from './p2p/options.js'
import type { P2POptions } from './p2p/options.js'
import { MemoryLocks } from './platform/locks.js'
import { onPageEvent } from './platform/page.js'
import { nameOrThrow, parsedOrThrow } from './lib/names.js'
import { Peer } from './peer.js'
import { keepTokenFresh } from './tier/keep-token-fresh.js'
import { Session } from './tier/session.js'
import type { OpenTransport } from './tier/transport.js'
import { endpointOf, websocketTransport } from './tier/websocket-transport.js'

/** The options of `connect`. All are optional. An unknown option is a TypeError. */
export interface ConnectOptions {
  /**
   * The name to claim: 1 to 128 bytes of printable UTF-8 (protocol SPEC.md, WN1). Default: the name that `storage` has
   * kept, else an unguessable name that the node makes.
   */
  name?: string | undefined
  /**
   * The app, a namespace for names: 1 to 32 characters of `a-z`, `0-9` and `-` (WN2). Peers of different apps never
   * meet. Default: the default app of the node.
   */
  app?: string | undefined
  /**
   * The access token for the node, if its access rules need one.
   *
   * Pass a function if tokens end. The SDK calls it before each attempt to connect, and when about 80 % of a token's time
   * have passed. Then it shows the node the new token, and the connection continues (WL10). If the function throws,
   * rejects, or takes longer than 10 s, there is an `error` event, and the SDK tries again (WL6, WL11).
   *
   * A token that is no function cannot be renewed: when it ends, the peer is closed for good as `token-expired`.
   */
  token?: string | (() => string | Promise<string>) | undefined
  /**
   * The reclaim secret: 22 to 64 characters of base64url (WN5). A peer that shows the same secret again is the same
   * holder of the name. Default: the secret that `storage` kept, else a random one.
   */
  secret?: string | undefined
  /**
   * Keeps the name and the secret, so that a reloaded page or restarted program is the same peer. Default:
   * `sessionStorage` in a page, else none. For Node, see `fileStorage`. Null: none.
   */
  storage?: IdentityStorage | null | undefined
  /**
   * In Node: whether to give the name back when the process ends by `process.exit`, by an uncaught error, or by a
   * SIGINT, SIGTERM or SIGHUP that the application does not listen for. It takes at most 500 ms (WL8). Default: true if
   * there is neither `secret` nor `storage`, because then no later process could reclaim the name.
   *
   * If the application listens for the signal, its listener must end the process: it calls `process.exit`, or removes
   * itself and raises the signal again. If the listener checks whether other listeners are left, it should call
   * `leave()` before that check, because `leave()` removes the SDK's listener.
   */
  leaveOnExit?: boolean | undefined
  /**
   * Ends the attempt to connect. `connect` then rejects with the signal's reason. After `connect` has resolved, the
   * signal has no effect.
   */
  signal?: AbortSignal | undefined
  /** Milliseconds until `connect` gives up. Default: 30,000. `Infinity`: never. */
  timeoutMs?: number | undefined
  /**
   * Called when an attempt to connect has failed and another one will follow. Default: the SDK writes each new cause to
   * the console. After `connect` has resolved, the `state` event reports failed attempts.
   */
  onRetry?: ((failed: FailedAttempt) => unknown) | undefined
  /**
   * The STUN server to use, as `host:port`. Default: the STUN server of the node, if it has one. Null: none. See
   * SPEC.md, PP21.
   */
  p2pServer?: string | null | undefined
  /** How channels to other peers are made. False: there are no channels, and `peer.p2p` is null. */
  p2p?: P2POptions | false | undefined
  /** The source of time, for tests. Default: the system's. */
  clock?: Clock | undefined
  /** Opens connections to a node, for tests. Default: the native wire over WebSocket. */
  transport?: OpenTransport | undefined
}

const CONNECT_MS = 30_000

const p2pKinds: Kinds<P2POptions> = {
  accept: aFunction,
  verify: aFunction,
  relayOnly: aFlag,
  holdCandidates: aFlag,
  loadLater: aFlag,
  RTCPeerConnection: aPeerConnectionClass,
}

const anIdentityStorage = objectWith(
  "an IdentityStorage (such as fileStorage('./peer.json') of @peerage/client/node)",
  'getItem',
  'setItem',
  'removeItem',
)

const connectKinds: Kinds<ConnectOptions> = {
  name: aText,
  app: aText,
  token: either(aText, aFunction),
  secret: aText,
  storage: either(anIdentityStorage, aNull),
  leaveOnExit: aFlag,
  signal: aSignal,
  timeoutMs: aTime,
  onRetry: aFunction,
  p2pServer: either(aText, aNull),
  p2p: either(anObject, aFalse),
  clock: objectWith('a Clock', 'now', 'after'),
  transport: aFunction,
}

/** Connects on a platform. For arguments, result and errors see `connect` in entries/browser.ts. */
export async function connectOn(
  platform: Platform,
  modules: Modules,
  url: string | URL,
  options: ConnectOptions = {},
): Promise<Peer> {
  checkOptions(options, connectKinds)
  if (options.p2p) checkOptions(options.p2p, p2pKinds, 'p2p')
  const { clock = systemClock, token, p2pServer } = options
  checkTimers(clock)
  checkP2PServer(p2pServer)
  const endpoint = endpointOf(url)
  const name = options.name === undefined ? undefined : nameOrThrow(options.name)
  const app = options.app === undefined ? undefined : parsedOrThrow(options.app, 'app', parseApp, 'bad-field')
  const secret = parsedSecret(options.secret)
  const place = placeOf(options.storage)
  const key = `peerage ${endpoint} ${app ?? ''} ${name ?? ''}`
  const open =
    options.transport ??
    websocketTransport(endpoint, await platform.findWebSocket(), clock, platform.whyNotOpened)
  // Without the URL, because another URL may lead to the same nodes.
  const held = `${app ?? ''} ${name ?? ''}`
  if (name !== undefined) await untilFree(held, options.signal)
  const identity = await openIdentity(key, place, secret, options.signal)
  const session = new Session({
    clock,
    random: Math.random,
    open,
    platform,
    identity,
    app,
    name,
    token,
    ending: (end) => willBeFree(held, end),
  })
  keepTokenFresh(session, modules)
  let peer: Peer | undefined
  if (platform.leaveOnExit && (options.leaveOnExit ?? (secret === undefined && place === undefined))) {
    const depart = (): Promise<unknown> => Promise.all([peer?.p2p?.close(), session.connector.depart()])
    session.onClosed(platform.leaveOnExit({ depart }))
  }
  try {
    const p2p = await untilWelcome(session, modules, url, options)
    // The network is back, so try at once.
    session.onClosed(onPageEvent('online', () => session.connector.retryNow()))
    peer = new Peer(session, p2p, modules)
    return peer
  } catch (error) {
    // If the welcome came but a module could not be loaded, give a new name back, because nobody can use it.
    session.connector.send({ type: 'leave', onlyNew: true })
    session.connector.close()
    throw error
  }
}

/**
 * Opens the session, and loads the P2P module. That is a third of the SDK, which is not needed before the first
 * welcome. With the option `loadLater` it is not needed then either [PP46].
 */
async function untilWelcome(
  session: Session,
  modules: Modules,
  url: string | URL,
  { timeoutMs = CONNECT_MS, onRetry = tellConsole(), signal, p2p, p2pServer }: ConnectOptions,
): Promise<P2P | null> {
  const { clock, connector } = session
  const giveUp = new AbortController()
  const timer = clock.after(timeoutMs, () => {
    const { failure: cause } = connector
    const last = cause
      ? `The last attempt: ${cause.message}`
      : 'Nothing has answered there yet. Is it a node?'
    const detail = `not connected to ${String(url)} within ${timeoutMs / 1_000} s. ${last}`
    giveUp.abort(new PeerageError('timeout', detail, { cause }))
  })
  const offRetry = session.onRetry(onRetry)
  const pass = (): void => giveUp.abort(signal?.reason)
  const ignore = onAbort(signal, pass)
  if (signal?.aborted) pass()
  try {
    const opening = session.open(giveUp.signal)
    if (p2p !== false && p2p?.loadLater === true) {
      await opening
      const load = (ends: AbortSignal): ReturnType<Modules['p2p']> => modules.p2p({ clock, signal: ends })
      if (hasServer(session, p2pServer)) return new LateP2P(session, p2pServer, p2p, load)
    }
    const loading = modules.p2p({ clock, signal: giveUp.signal, deadlineMs: Infinity })
    const [{ createP2P }] = await Promise.all([loading, opening])
    return createP2P(session, p2pServer, p2p)
  } finally {
    timer.cancel()
    offRetry()
    ignore()
    // Stop loading the module, if it is not there yet.
    giveUp.abort()
  }
}

/** Names that this page or process is about to give back. The key is app and name. */
const endings = new Map<string, Set<Promise<void>>>()

/** Remembers that this name will be free when `end` has resolved, which takes at most 2 s. */
function willBeFree(name: string, end: Promise<void>): void {
  const ends = endings.get(name) ?? new Set()
  endings.set(name, ends.add(end))
  void end.finally(() => {
    ends.delete(end)
    if (ends.size === 0 && endings.get(name) === ends) endings.delete(name)
  })
}

/**
 * Waits until this page or process has given the name back [WL7]. Otherwise a new hello, over another socket, could
 * overtake the leave, and be refused because the same page still holds the name. Rejects with the signal's reason.
 */
async function untilFree(name: string, signal: AbortSignal | undefined): Promise<void> {
  const ends: Iterable<Promise<void>> = endings.get(name) ?? []
  await unlessAborted(Promise.all(ends), signal)
}

/** Writes each new reason to the console, so that a developer sees what is wrong before `connect` gives up. */
function tellConsole(): (failed: FailedAttempt) => void {
  let told = ''
  return ({ error: { message } }) => {
    if (message !== told) console.warn(`Peerage tries to connect again: ${message}`)
    told = message
  }
}

function parsedSecret(input: string | undefined): Secret | undefined {
  if (input === undefined) return undefined
  const secret = parseSecret(input)
  // Do not show the value, because an almost correct secret must not reach a log.
  if (!secret.ok) throw new PeerageError('bad-field', `${secret.problem}; it has ${input.length} characters`)
  return secret.value
}

/** Without pages no identity is ever duplicated, so only peers within this process have to be kept apart. */
const processLocks = new MemoryLocks()

/** By default, only a page has a storage: its sessionStorage, which a reload finds again. */
function placeOf(storage: IdentityStorage | null | undefined): IdentityPlace | undefined {
  const isPage = globalThis.document !== undefined
  const found = storage === undefined && isPage ? ifAllowed(() => sessionStorage) : storage
  if (found === undefined || found === null) return undefined
  return {
    storage: found,
    locks: ifAllowed(() => globalThis.navigator?.locks) ?? (isPage ? undefined : processLocks),
    onLeave: (save) => onPageEvent('pagehide', save),
  }
}

/** The mere access throws if cookies are blocked or the frame is sandboxed. */
function ifAllowed<T>(ask: () => T): T | undefined {
  try {
    return ask()
  } catch {
    return undefined
  }
}
