import { parseApp, parseName, parseSecret } from '@peerage/protocol'
import type { Parsed } from '@peerage/protocol'
import { onAbort } from './abort.js'
import { checkMs, systemClock } from './clock.js'
import type { Clock } from './clock.js'
import { untilEnded, willEnd } from './endings.js'
import { PeerageError } from './error.js'
import { openIdentity } from './identity.js'
import type { IdentityPlace, IdentityStorage } from './identity.js'
import { p2pServerOf } from './p2p-server.js'
import type { P2POptions } from './p2p.js'
import { leaveOnExit } from './leave-on-exit.js'
import { MemoryLocks } from './locks.js'
import { onPageEvent } from './page.js'
import { Peer } from './peer.js'
import { Session } from './session.js'
import type { OpenTransport } from './transport.js'
import { endpointOf, findWebSocket, websocketTransport } from './websocket-transport.js'

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
   * SIGTERM or SIGHUP that the application does not listen for; that takes 500 ms at most. Default: where there is
   * neither `secret` nor `storage`, for nobody could take it up again.
   */
  leaveOnExit?: boolean | undefined
  /** Ends the attempt to connect; afterwards it has no effect. */
  signal?: AbortSignal | undefined
  /** Milliseconds until `connect` gives up; default 30,000. */
  timeoutMs?: number | undefined
  /** host:port of the P2P (STUN) server to use; default: the integrated one, where the tier has one. */
  p2pServer?: string | null | undefined
  /** How channels to other peers are made; false: not at all, so that `peer.p2p` is null. */
  p2p?: P2POptions | false | undefined
  clock?: Clock | undefined
  /** Default: the native wire over WebSocket. */
  transport?: OpenTransport | undefined
}

const CONNECT_MS = 30_000

/**
 * Connects to any node of the tier at `url` and claims a name. Rejects with a PeerageError: `name-taken`, `forbidden`,
 * `bad-name` and whatever else a node refuses for good, `timeout`; with the signal's reason; or with a TypeError
 * for a `url` that does not begin with http:// or https://, a `p2pServer` that is not host:port, or a `timeoutMs` that is no time.
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Peer> {
  const { clock = systemClock, token, p2pServer } = options
  checkMs(options.timeoutMs)
  p2pServerOf(p2pServer, { server: null, turn: null })
  const endpoint = endpointOf(url)
  const app = parsed(options.app, parseApp)
  const name = parsed(options.name, parseName)
  const secret = parsed(options.secret, parseSecret)
  const place = placeOf(options.storage)
  const key = `peerage ${endpoint} ${app ?? ''} ${name ?? ''}`
  const open = options.transport ?? websocketTransport(endpoint, await findWebSocket(), clock)
  if (name !== undefined) await untilEnded(key, options.signal)
  const identity = await openIdentity(key, place, secret, options.signal)
  const session = new Session({
    clock,
    random: Math.random,
    open,
    identity,
    app,
    name,
    token: typeof token === 'string' ? () => token : token,
    ending: (end) => willEnd(key, end),
  })
  if (options.leaveOnExit ?? (secret === undefined && place === undefined))
    session.onClosed(leaveOnExit(session.link))
  const giveUp = new AbortController()
  const timer = clock.after(options.timeoutMs ?? CONNECT_MS, () => {
    const { failure = 'none has come to an end' } = session.link
    giveUp.abort(new PeerageError('timeout', `timeout; the last attempt: ${failure}`))
  })
  const { signal } = options
  const pass = (): void => giveUp.abort(signal?.reason)
  const ignore = onAbort(signal, pass)
  if (signal?.aborted) pass()
  try {
    // Loaded while the socket opens: a third of the SDK, which nothing before the first welcome needs.
    const [{ createP2P }] = await Promise.all([import('./p2p.js'), session.open(giveUp.signal)])
    // The network is back: no use in waiting.
    session.onClosed(onPageEvent('online', () => session.link.hurry()))
    return new Peer(session, createP2P(session, p2pServer, options.p2p))
  } catch (error) {
    session.link.close()
    throw error
  } finally {
    timer.cancel()
    ignore()
  }
}

function parsed<T>(input: unknown, parse: (input: unknown) => Parsed<T>): T | undefined {
  if (input === undefined) return undefined
  const result = parse(input)
  if (!result.ok) throw new PeerageError('bad-field', result.problem)
  return result.value
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
