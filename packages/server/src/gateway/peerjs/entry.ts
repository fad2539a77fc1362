import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Message, OnlineSession } from '@peerage/core'
import type { App, Peer } from '@peerage/protocol'
import { errorTexts, parseName } from '@peerage/protocol'
import type { Access, AdmitRequest, Claimed, Decision } from '../shared/access.js'
import { Claimer, sameSecret } from '../shared/access.js'
import { pause } from '../../lib/pause.js'
import type { PeerJsConnection } from './connection.js'
import type { PeerJsFrames } from './frames.js'
import type { PeerJsGatewayOptions, PeerJsKeys } from './options.js'
import type { Credentials } from './wire.js'
import { ID_TAKEN_FRAME, OPEN_FRAME, decodeCredentials, encodeError, refusals } from './wire.js'

export interface PeerJsEntryOptions extends Pick<
  PeerJsGatewayOptions,
  | 'node'
  | 'clock'
  | 'access'
  | 'limits'
  | 'metrics'
  | 'key'
  | 'concurrentLimit'
  | 'policy'
  | 'onPeer'
  | 'onError'
> {
  frames: PeerJsFrames
}

/** A reload frees its id by a close frame, which may reach another node than the new claim: that long is it waited for. */
const TAKEN_RETRIES_MS = [50, 150, 400]
/** A peer over its failures waits so long for its answer: its socket is open meanwhile, so not for ever. */
const SLOWED_MOST_MS = 2_000

/** Lets peers in: who they are, whether there is room, and their claim. */
export class PeerJsEntry {
  readonly #options: PeerJsEntryOptions
  readonly #claimer: Claimer
  /** Connections that hold a name or are about to: what the concurrent limit counts. */
  #places = 0

  constructor(options: PeerJsEntryOptions) {
    this.#options = options
    this.#claimer = new Claimer({ ...options, takenRetriesMs: TAKEN_RETRIES_MS })
  }

  /** A connection has ended. */
  left(connection: PeerJsConnection): void {
    if (connection.hasPlace) this.#places--
    if (connection.peer !== undefined) this.#tell('disconnect', connection.peer)
  }

  /** From credentials to a name: OPEN, or the reason why not. */
  enter(connection: PeerJsConnection, { url = '', headers }: IncomingMessage): void {
    this.#enter(connection, decodeCredentials(url), headers.origin).catch((error: unknown) => {
      this.#options.onError(error, { stage: 'claim' })
      connection.close('internal')
    })
  }

  async #enter(
    connection: PeerJsConnection,
    credentials: Credentials | undefined,
    origin: string | undefined,
  ): Promise<void> {
    if (credentials === undefined)
      return this.#refuse(connection, encodeError(refusals.parameters), 'parameters')
    const name = parseName(credentials.id)
    if (!name.ok)
      return this.#refuse(connection, encodeError(`Invalid id provided: ${name.problem}`), 'bad-name')
    const asked: AdmitRequest = { name: name.value, wire: 'peerjs', address: connection.address }
    if (origin !== undefined) asked.origin = origin
    const claimed = await this.#claimer.claim(connection, {
      name: name.value,
      admit: (access) => admitPeerJs(access, asked, credentials, this.#options.key),
      takePlace: (peer) => this.#takePlace(connection, peer),
    })
    if (claimed === undefined) return
    if (!claimed.ok) return this.#turnAway(connection, claimed)
    this.#options.metrics.registered('peerjs', claimed.reclaimed ? 'reclaimed' : 'ok')
    await this.#welcome(connection, claimed.session)
  }

  #takePlace(connection: PeerJsConnection, peer: Peer): boolean {
    if (this.#isFull(peer)) return false
    connection.hasPlace = true
    this.#places++
    return true
  }

  /** The limit counts peers; one that comes back over its own old socket is not one more. */
  #isFull(peer: Peer): boolean {
    const { concurrentLimit, node } = this.#options
    if (concurrentLimit === 0 || this.#places < concurrentLimit) return false
    return node.sessions.online(peer)?.connection.wire !== 'peerjs'
  }

  // A hook of the application that fails, now or later, is the application's fault and nobody's end.
  #tell(event: 'connection' | 'disconnect', peer: Peer): void {
    const { onPeer, onError } = this.#options
    new Promise<unknown>((resolve) => resolve(onPeer?.(event, peer))).catch((error: unknown) =>
      onError(error, { stage: 'onPeer' }),
    )
  }

  /** OPEN at once; then what waited, and what arrives while it is being fetched. */
  async #welcome(connection: PeerJsConnection, session: OnlineSession): Promise<void> {
    const { node, onError } = this.#options
    connection.named(session.peer)
    // Who answers the ping has read OPEN, and knows that the name is its own.
    connection.writeAndPing(OPEN_FRAME)
    this.#tell('connection', session.peer)
    for (const text of connection.takeKept()) this.#options.frames.receive(connection, text)
    let waiting: Message[] = []
    try {
      waiting = await node.mail.take(session.peer)
    } catch (error) {
      onError(error, { stage: 'mailbox take' })
    }
    connection.opened(waiting.map((message) => message.frame))
  }

  async #turnAway(
    connection: PeerJsConnection,
    { code, detail = errorTexts[code], waitMs }: Extract<Claimed, { ok: false }>,
  ): Promise<void> {
    // Whoever tries names or tokens gets its answers late.
    const lateMs = Math.min(waitMs, SLOWED_MOST_MS)
    // No place was free: this is the concurrent limit, and `peer` tells of it by an ERROR.
    if (code === 'overloaded' && !connection.hasPlace)
      return this.#refuse(connection, encodeError(refusals.limit), code)
    switch (code) {
      case 'name-taken':
        return this.#refuse(connection, ID_TAKEN_FRAME, code, lateMs)
      case 'draining':
      case 'registry-unavailable':
      case 'overloaded':
      case 'rate-limited':
        // An ERROR would end the peer for good; after a mere close it may try again.
        await this.#refused(connection, code, lateMs)
        connection.close(code === 'draining' ? 'drain' : code)
        return
      default:
        return this.#refuse(connection, encodeError(detail), code, lateMs)
    }
  }

  /** An ERROR or ID-TAKEN, at least `lateMs` from now, and the end. */
  async #refuse(connection: PeerJsConnection, frame: string, what: string, lateMs = 0): Promise<void> {
    await this.#refused(connection, what, lateMs)
    connection.write(frame)
    connection.close('refused')
  }

  /** Counts a refusal. Over the rate of its address the answer waits as well, and one wait does for both. */
  async #refused(connection: PeerJsConnection, what: string, lateMs: number): Promise<void> {
    const { metrics, limits } = this.#options
    metrics.registered('peerjs', what)
    const waitMs = Math.max(lateMs, limits.refusedMs(connection.address))
    if (waitMs > 0) await pause(this.#options.clock, waitMs)
  }
}

/** Paths of ours that look like keys. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['v1', 'peerage'])
/** Parts an access token from the peer's own secret, in PeerJS's one `token` field; no token of ours has it. */
const TOKEN_DIVIDER = '~'

type KeyMeaning = { ok: true; app: App | undefined } | { ok: false }

/** Whether a key is served, and the app that it stands for where there is a mapping [PJ2]. */
export function meaningOf(keys: PeerJsKeys, key: string): KeyMeaning {
  if (RESERVED_KEYS.has(key)) return { ok: false }
  if (typeof keys === 'string')
    return keys === '*' || sameSecret(keys, key) ? { ok: true, app: undefined } : { ok: false }
  const app = Object.hasOwn(keys, key) ? keys[key] : undefined
  return app === undefined ? { ok: false } : { ok: true, app }
}

/**
 * Whether a peer may come in, and what takes its name back. The access rules see what stands in PeerJS's `token` field (up
 * to a `~`, if there is one); where that does not do, what stands in its `key` field, so that a shared key can travel in
 * either [PJ11]. A refusal is told in the words of `peer`, whatever the
 * application's rules say.
 */
async function admitPeerJs(
  access: Access,
  asked: AdmitRequest,
  { token, key }: Credentials,
  keys: PeerJsKeys,
): Promise<Decision> {
  const meaning = meaningOf(keys, key)
  const divider = token.indexOf(TOKEN_DIVIDER)
  if (meaning.ok && meaning.app !== undefined) asked.app = meaning.app
  if (meaning.ok) {
    const admitted = await access.admit({ ...asked, token: divider < 0 ? token : token.slice(0, divider) })
    // A token that many peers share is no secret of one of them: its bearer cannot take a name back [I9].
    const shared = admitted.ok && admitted.identity !== undefined && divider < 0
    if (admitted.ok) return { admitted, secret: shared ? randomBytes(16).toString('base64url') : token }
  }
  const admitted = await access.admit({ ...asked, token: key })
  if (admitted.ok && admitted.identity !== undefined) return { admitted, secret: token }
  const detail = meaning.ok ? refusals.token : refusals.key
  return { admitted: { ok: false, code: 'forbidden', detail }, secret: token }
}
