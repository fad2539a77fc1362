import type { IncomingMessage } from 'node:http'
import type { Message, OnlineSession } from '@peerage/core'
import type { Peer } from '@peerage/protocol'
import { errorTexts, parseName } from '@peerage/protocol'
import { pause } from '../../lib/pause.js'
import type { AccessEnds } from '../shared/access-ends.js'
import type { AdmitRequest } from '../shared/access.js'
import type { Claimed } from '../shared/claimer.js'
import { Claimer } from '../shared/claimer.js'
import { admitPeerJs, appAsked } from './admit.js'
import type { PeerJsConnection } from './connection.js'
import type { PeerJsFrames } from './frames.js'
import type { PeerJsGatewayOptions } from './options.js'
import type { Credentials } from './wire.js'
import { ID_TAKEN_FRAME, OPEN_FRAME, decodeCredentials, encodeError, refusals } from './wire.js'

export interface PeerJsEntryOptions extends Pick<
  PeerJsGatewayOptions,
  | 'node'
  | 'clock'
  | 'apps'
  | 'budgets'
  | 'revocations'
  | 'limits'
  | 'metrics'
  | 'access'
  | 'onRefused'
  | 'concurrentLimit'
  | 'onPeer'
  | 'onError'
> {
  frames: PeerJsFrames
  accessEnds: AccessEnds
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
    this.#enter(connection, decodeCredentials(url), headers).catch((error: unknown) => {
      this.#options.onError(error, { stage: 'claim' })
      connection.close('internal')
    })
  }

  async #enter(
    connection: PeerJsConnection,
    credentials: Credentials | undefined,
    headers: IncomingMessage['headers'],
  ): Promise<void> {
    if (credentials === undefined)
      return this.#refuse(connection, encodeError(refusals.parameters), 'parameters')
    const name = parseName(credentials.id)
    if (!name.ok)
      return this.#refuse(connection, encodeError(`Invalid id provided: ${name.problem}`), 'bad-name')
    const { apps } = this.#options
    const meaning = apps.appOfKey(credentials.key)
    const app = appAsked(apps, meaning, credentials.key)
    const { address } = connection
    const asked: AdmitRequest = { name: name.value, isNameMade: false, wire: 'peerjs', address, headers }
    if (app !== undefined) asked.app = app
    const { origin } = headers
    if (origin !== undefined) asked.origin = origin
    const claimed = await this.#claimer.claim(connection, {
      app,
      name: name.value,
      isNameMade: false,
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
    const { node, accessEnds, onError } = this.#options
    connection.named(session.peer)
    if (connection.isOpen) accessEnds.set(connection, connection.access)
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
    switch (code) {
      case 'name-taken':
        return this.#refuse(connection, ID_TAKEN_FRAME, code, lateMs)
      case 'too-many':
        // No slot was free. This is the concurrent limit, which `peer` reports by an ERROR.
        return this.#refuse(connection, encodeError(refusals.limit), code)
      case 'draining':
      case 'access-unavailable':
      case 'registry-unavailable':
      case 'overloaded':
      case 'rate-limited':
        // An ERROR would end the peer for good. After a close without ERROR it may try again.
        await this.#refused(connection, code, lateMs)
        connection.close(code === 'draining' ? 'drain' : code)
        return
      case 'banned':
      case 'bad-token':
        return this.#refuse(connection, encodeError(inWordsOfPeer(detail)), code, lateMs)
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

/** A ban or a revocation says nothing in the words of `peer` yet. */
function inWordsOfPeer(detail: string): string {
  const isWorded = detail.startsWith(refusals.token) || detail.startsWith(refusals.key)
  return isWorded ? detail : `${refusals.token}: ${detail}`
}
