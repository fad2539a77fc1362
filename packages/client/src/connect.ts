import type { Secret } from '@peerage/protocol'
import { parseApp, parseSecret } from '@peerage/protocol'
import { onAbort, unlessAborted } from './lib/abort.js'
import {
  aFalse,
  aFlag,
  aFunction,
  aNull,
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
import type { Parts } from './platform/parts.js'
import type { Platform } from './platform/platform.js'
import { openIdentity } from './tier/identity.js'
import type { IdentityPlace, IdentityStorage } from './tier/identity.js'
import type { FailedAttempt } from './tier/link.js'
import { checkP2PServer } from './p2p/options.js'
import type { P2POptions } from './p2p/options.js'
import { MemoryLocks } from './platform/locks.js'
import { onPageEvent } from './platform/page.js'
import { nameOrThrow, parsedOrThrow } from './lib/names.js'
import { Peer } from './peer.js'
import { Session } from './tier/session.js'
import type { OpenTransport } from './tier/transport.js'
import { endpointOf, websocketTransport } from './tier/websocket-transport.js'

export interface ConnectOptions {
  /** The name to claim; default: the one kept from before a reload, else an unguessable one that the tier makes. */
  name?: string | undefined
  /** The app (tenant) that the name belongs to; default: the tier's. */
  app?: string | undefined
  /** An access token, or who makes a fresh one: asked before each attempt to connect. */
  token?: string | (() => string | Promise<string>) | undefined
  /** Proves that this is the holder: 22–64 characters of base64url. Default: made here, and kept in `storage`. */
  secret?: string | undefined
  /** Keeps name and secret over a reload; default: sessionStorage in browsers, else nothing. Null: nothing. */
  storage?: IdentityStorage | null | undefined
  /**
   * In Node: whether the name is given back when the process ends by `process.exit`, an uncaught error, or a SIGINT,
   * SIGTERM or SIGHUP that the application does not listen for; that takes 500 ms at most. A listener of the application
   * decides itself: it ends the process, or removes itself and raises the signal again. One that removes itself, and
   * raises it only where no listener is left, finds the SDK's: it should `await peer.leave()` first, which takes that off.
   * Default: where there is neither `secret` nor `storage`, for nobody could take it up again.
   */
  leaveOnExit?: boolean | undefined
  /** Ends the attempt to connect; afterwards it has no effect. */
  signal?: AbortSignal | undefined
  /** Milliseconds until `connect` gives up; default 30,000. */
  timeoutMs?: number | undefined
  /**
   * Hears why an attempt to connect has failed, while `connect` tries again. Default: each new reason goes to the
   * console. Once connected, the `state` event says it.
   */
  onRetry?: ((failed: FailedAttempt) => unknown) | undefined
  /** host:port of the P2P (STUN) server to use; default: the integrated one, where the tier has one. */
  p2pServer?: string | null | undefined
  /** How channels to other peers are made; false: not at all, so that `peer.p2p` is null. */
  p2p?: P2POptions | false | undefined
  clock?: Clock | undefined
  /** Default: the native wire over WebSocket. */
  transport?: OpenTransport | undefined
}

const CONNECT_MS = 30_000

const p2pKinds: Kinds<P2POptions> = {
  accept: aFunction,
  relayOnly: aFlag,
  holdCandidates: aFlag,
  RTCPeerConnection: aFunction,
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

/**
 * Connects to any node of the tier at `url` and claims a name; tries again until `timeoutMs` while no node can be reached.
 * The `url` is http(s):// or ws(s)://, which mean the same; its path counts, its query and hash are not used.
 * Rejects with a PeerageError: `name-taken`, `forbidden`, `bad-name` and whatever else a node refuses for good, or
 * `timeout`, whose `cause` is what the last attempt ended with; with the signal's reason; or with a TypeError that names
 * the argument which is wrong: a `url` of another scheme, an option that there is not, … What a name, an app or a secret
 * may not be is a PeerageError, `bad-name` or `bad-field`, which names the argument too.
 */
export async function connectOn(
  platform: Platform,
  parts: Parts,
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
  // Another URL may lead to the same tier.
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
  let peer: Peer | undefined
  if (platform.leaveOnExit && (options.leaveOnExit ?? (secret === undefined && place === undefined))) {
    const depart = (): Promise<unknown> => Promise.all([peer?.p2p?.close(), session.link.depart()])
    session.onClosed(platform.leaveOnExit({ depart }))
  }
  try {
    const { createP2P } = await untilWelcome(session, parts, url, options)
    // The network is back: no use in waiting.
    session.onClosed(onPageEvent('online', () => session.link.hurry()))
    peer = new Peer(session, createP2P(session, p2pServer, options.p2p), parts)
    return peer
  } catch (error) {
    // Welcome already, and a part of the SDK is missing: nobody could use a name that is new.
    session.link.send({ type: 'leave', onlyNew: true })
    session.link.close()
    throw error
  }
}

/** Opens the session, and loads the P2P part: a third of the SDK, which nothing before the first welcome needs. */
async function untilWelcome(
  session: Session,
  parts: Parts,
  url: string | URL,
  { timeoutMs = CONNECT_MS, onRetry = tellConsole(), signal }: ConnectOptions,
): ReturnType<Parts['p2p']> {
  const { clock, link } = session
  const giveUp = new AbortController()
  const timer = clock.after(timeoutMs, () => {
    const { failure: cause } = link
    const last = cause
      ? `The last attempt: ${cause.message}`
      : 'Nothing has answered there yet: is it a node?'
    const detail = `not connected to ${String(url)} within ${timeoutMs / 1_000} s. ${last}`
    giveUp.abort(new PeerageError('timeout', detail, { cause }))
  })
  const offRetry = session.onRetry(onRetry)
  const pass = (): void => giveUp.abort(signal?.reason)
  const ignore = onAbort(signal, pass)
  if (signal?.aborted) pass()
  try {
    const part = parts.p2p({ clock, signal: giveUp.signal, deadlineMs: Infinity })
    const [loaded] = await Promise.all([part, session.open(giveUp.signal)])
    return loaded
  } finally {
    timer.cancel()
    offRetry()
    ignore()
    // Nobody waits for the part any more.
    giveUp.abort()
  }
}

/** What this page or process is about to give back, by app and name. */
const endings = new Map<string, Set<Promise<void>>>()

/** The stay under this name is over when `end` has resolved; that takes 2 s at most. */
function willBeFree(name: string, end: Promise<void>): void {
  const ends = endings.get(name) ?? new Set()
  endings.set(name, ends.add(end))
  void end.finally(() => {
    ends.delete(end)
    if (ends.size === 0 && endings.get(name) === ends) endings.delete(name)
  })
}

/**
 * Waits until each stay under this name has ended: over another socket a new hello could overtake it, and meet a name
 * that this very page still holds. Rejects with the signal's reason.
 */
async function untilFree(name: string, signal: AbortSignal | undefined): Promise<void> {
  const ends: Iterable<Promise<void>> = endings.get(name) ?? []
  await unlessAborted(Promise.all(ends), signal)
}

/** Who waits for `connect` should not have to wait for its end to learn what is wrong. */
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
  // What it is may be nearly right: it is not for a log.
  if (!secret.ok) throw new PeerageError('bad-field', `${secret.problem}; it has ${input.length} characters`)
  return secret.value
}

/** Where there are no pages, nothing is ever a copy of another: the process alone has to be kept apart from itself. */
const processLocks = new MemoryLocks()

/** Only a page has a storage of its own that a reload finds again. */
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

/** Where cookies are blocked, or a frame is sandboxed, asking already throws. */
function ifAllowed<T>(ask: () => T): T | undefined {
  try {
    return ask()
  } catch {
    return undefined
  }
}
