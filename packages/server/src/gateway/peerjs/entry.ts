import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Message, OnlineSession } from '@peerage/core'
import type { Peer } from '@peerage/protocol'
import { errorTexts, parseName } from '@peerage/protocol'
import type { CheckedAccess, AdmitRequest, Claimed, Decision } from '../shared/access.js'
import { Claimer } from '../shared/access.js'
import type { KeyMeaning } from '../../apps/policy.js'
import { pause } from '../../lib/pause.js'
import type { PeerJsConnection } from './connection.js'
import type { PeerJsFrames } from './frames.js'
import type { PeerJsGatewayOptions } from './options.js'
import type { Credentials } from './wire.js'
import { ID_TAKEN_FRAME, OPEN_FRAME, decodeCredentials, encodeError, refusals } from './wire.js'

export interface PeerJsEntryOptions extends Pick<
  PeerJsGatewayOptions,
  | 'node'
  | 'clock'
  | 'access'
  | 'limits'
  | 'metrics'
  | 'onRefused'
  | 'apps'
  | 'concurrentLimit'
  | 'onPeer'
  | 'onError'
> {
  frames: PeerJsFrames
}

/** When an id is taken, how long to wait before each retry: the close frame of a reloaded page may reach another node. */
const TAKEN_RETRIES_MS = [50, 150, 400]
/** The longest delay of the answer to a peer that failed too often. It is bounded because its socket stays open. */
const MAX_SLOWED_MS = 2_000

/** Admits peers: reads their credentials, checks for room, and claims their names. */
export class PeerJsEntry {
  readonly #options: PeerJsEntryOptions
  readonly #claimer: Claimer
  /** How many connections hold a name or are about to. The concurrent limit counts these. */
  #slots = 0

  constructor(options: PeerJsEntryOptions) {
    this.#options = options
    this.#claimer = new Claimer({ ...options, takenRetriesMs: TAKEN_RETRIES_MS })
  }

  /** A connection has ended. */
  left(connection: PeerJsConnection): void {
    if (connection.hasSlot) this.#slots--
    if (connection.peer !== undefined) this.#tell('disconnect', connection.peer)
  }

  /** Claims the name for a connection. Answers with OPEN, or with the reason for a refusal. */
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
    const meaning = this.#options.apps.appOfKey(credentials.key)
    const app = meaning.ok ? meaning.app : undefined
    const claimed = await this.#claimer.claim(connection, {
      name: name.value,
      app,
      origin,
      admit: (access) => admitPeerJs(access, asked, credentials, meaning),
      reserve: (peer) => this.#takeSlot(connection, peer),
    })
    if (claimed === undefined) return
    if (!claimed.ok) return this.#turnAway(connection, claimed)
    this.#options.metrics.registered('peerjs', claimed.reclaimed ? 'reclaimed' : 'ok')
    await this.#welcome(connection, claimed.session)
  }

  #takeSlot(connection: PeerJsConnection, peer: Peer): boolean {
    if (this.#isFull(peer)) return false
    connection.hasSlot = true
    this.#slots++
    return true
  }

  /** The limit counts peers. A peer that comes back while its old socket is open does not count twice. */
  #isFull(peer: Peer): boolean {
    const { concurrentLimit, node } = this.#options
    if (concurrentLimit === 0 || this.#slots < concurrentLimit) return false
    return node.sessions.online(peer)?.connection.wire !== 'peerjs'
  }

  // A hook of the application may throw or reject. That is reported, and no connection ends because of it.
  #tell(event: 'connection' | 'disconnect', peer: Peer): void {
    const { onPeer, onError } = this.#options
    new Promise<unknown>((resolve) => resolve(onPeer?.(event, peer))).catch((error: unknown) =>
      onError(error, { stage: 'onPeer' }),
    )
  }

  /** Sends OPEN at once, then the messages from the mailbox, then the messages that arrived meanwhile. */
  async #welcome(connection: PeerJsConnection, session: OnlineSession): Promise<void> {
    const { node, onError } = this.#options
    connection.named(session.peer)
    // A peer that answers the ping has read OPEN, so it knows that it has the name.
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
    // A peer that tries many names or tokens gets its answers late.
    const lateMs = Math.min(waitMs, MAX_SLOWED_MS)
    // No slot was free. This is the concurrent limit, which `peer` reports by an ERROR.
    if (code === 'overloaded' && !connection.hasSlot)
      return this.#refuse(connection, encodeError(refusals.limit), code)
    switch (code) {
      case 'name-taken':
        return this.#refuse(connection, ID_TAKEN_FRAME, code, lateMs)
      case 'draining':
      case 'registry-unavailable':
      case 'overloaded':
      case 'rate-limited':
        // An ERROR would end the peer for good. After a close without ERROR it may try again.
        await this.#refused(connection, code, lateMs)
        connection.close(code === 'draining' ? 'drain' : code)
        return
      default:
        return this.#refuse(connection, encodeError(detail), code, lateMs)
    }
  }

  /** Sends an ERROR or ID-TAKEN after at least `lateMs`, and closes. */
  async #refuse(connection: PeerJsConnection, frame: string, what: string, lateMs = 0): Promise<void> {
    await this.#refused(connection, what, lateMs)
    connection.write(frame)
    connection.close('refused')
  }

  /** Counts a refusal, and waits before its answer. The wait is the longer of `lateMs` and the delay for the address. */
  async #refused(connection: PeerJsConnection, what: string, lateMs: number): Promise<void> {
    const { metrics, limits } = this.#options
    metrics.registered('peerjs', what)
    const waitMs = Math.max(lateMs, limits.refusedMs(connection.address))
    if (waitMs > 0) await pause(this.#options.clock, waitMs)
  }
}

/** Separates an access token from the peer's own secret in PeerJS's single `token` field. Our own tokens never have it. */
const TOKEN_DIVIDER = '~'

/**
 * Asks the access rules whether a peer may come in, and decides which secret takes its name back. The rules first see
 * PeerJS's `token` field (up to a `~`, if there is one). If they refuse it, they see the `key` field, so that a shared
 * key can be in either [PJ11]. A refusal is sent in the words of `peer`, whatever the application's rules say.
 */
async function admitPeerJs(
  access: CheckedAccess,
  asked: AdmitRequest,
  { token, key }: Credentials,
  meaning: KeyMeaning,
): Promise<Decision> {
  const divider = token.indexOf(TOKEN_DIVIDER)
  if (meaning.ok && meaning.app !== undefined) asked.app = meaning.app
  if (meaning.ok) {
    const admitted = await access.admit({ ...asked, token: divider < 0 ? token : token.slice(0, divider) })
    // A token that many peers share is not the secret of one peer, so it cannot take a name back [I9].
    const shared = admitted.ok && admitted.identity !== undefined && divider < 0
    if (admitted.ok) return { admitted, secret: shared ? randomBytes(16).toString('base64url') : token }
  }
  const admitted = await access.admit({ ...asked, token: key })
  if (admitted.ok && admitted.identity !== undefined) return { admitted, secret: token }
  const detail = meaning.ok ? refusals.token : refusals.key
  return { admitted: { ok: false, code: 'forbidden', detail }, secret: token }
}
