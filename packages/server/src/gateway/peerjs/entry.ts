import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { ClaimOutcome, ClaimRequest, Message, OnlineSession } from '@peerage/core'
import type { App, ErrorCode, Name, Peer } from '@peerage/protocol'
import { errorTexts, parseName, parsePeer, peerOf } from '@peerage/protocol'
import type { Access, AdmitRequest } from '../shared/access.js'
import { sameSecret } from '../shared/access.js'
import { pause } from '../shared/gateway.js'
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
/** A flood of claims for one held name must not become four floods. */
const RETRYING_MOST = 100
/** A peer over its failures waits so long for its answer: its socket is open meanwhile, so not for ever. */
const SLOWED_MOST_MS = 2_000

/** Lets peers in: who they are, whether there is room, and their claim. */
export class PeerJsEntry {
  readonly #options: PeerJsEntryOptions
  /** Connections that hold a name or are about to: what the concurrent limit counts. */
  #places = 0
  #retrying = 0

  constructor(options: PeerJsEntryOptions) {
    this.#options = options
  }

  /** A connection has ended. */
  left(connection: PeerJsConnection): void {
    if (connection.hasPlace) this.#places--
    if (connection.peer !== undefined) this.#tell('disconnect', connection.peer)
  }

  /** From credentials to a name: OPEN, or the reason why not. */
  enter(connection: PeerJsConnection, { url = '', headers }: IncomingMessage): void {
    const credentials = decodeCredentials(url)
    const { origin } = headers
    const answered =
      credentials === undefined
        ? this.#refuse(connection, encodeError(refusals.parameters), 'parameters')
        : this.#enter(connection, { credentials, origin, address: connection.address })
    answered.catch((error: unknown) => {
      this.#options.onError(error, { stage: 'claim' })
      connection.close('internal')
    })
  }

  async #enter(connection: PeerJsConnection, applicant: Applicant): Promise<void> {
    const { limits, policy, metrics } = this.#options
    // Asked before the access rules and the registry are. A right token gets no other answer than a wrong one.
    const waitMs = limits.failuresMs(applicant.address)
    if (waitMs > 0) {
      await this.#turnAway(connection, 'rate-limited', Math.min(waitMs, SLOWED_MOST_MS))
      return
    }
    const admitted = await admitPeerJs(applicant, this.#options)
    if (!admitted.ok) {
      const lateMs = this.#guessed(applicant.address, applicant.credentials.id)
      await this.#refuse(connection, encodeError(admitted.text), admitted.what, lateMs)
      return
    }
    const { peer, secret, app, identity } = admitted
    if (this.#isFull(peer)) {
      await this.#refuse(connection, encodeError(refusals.limit), 'overloaded')
      return
    }
    // Asking took its time, and the peer may have gone meanwhile.
    if (!connection.isOpen) return
    connection.hasPlace = true
    this.#places++
    const request: ClaimRequest = { peer, secret, policy: identity === undefined ? 'refuse' : policy(app) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) {
      metrics.registered('peerjs', outcome.reclaimed ? 'reclaimed' : 'ok')
      await this.#welcome(connection, outcome.session)
      return
    }
    const lateMs = outcome.code === 'name-taken' ? this.#guessed(applicant.address, peer) : 0
    await this.#turnAway(connection, outcome.code, lateMs)
  }

  /** The limit counts peers; one that comes back over its own old socket is not one more. */
  #isFull(peer: Peer): boolean {
    const { concurrentLimit, node } = this.#options
    if (concurrentLimit === 0 || this.#places < concurrentLimit) return false
    return node.sessions.online(peer)?.connection.wire !== 'peerjs'
  }

  async #claim(connection: PeerJsConnection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { node } = this.#options
    let outcome = await node.claim(connection, request)
    for (const waitMs of TAKEN_RETRIES_MS) {
      if (outcome.ok || outcome.code !== 'name-taken' || this.#retrying >= RETRYING_MOST) return outcome
      this.#retrying++
      await pause(this.#options.clock, waitMs)
      this.#retrying--
      outcome = await node.claim(connection, request)
    }
    return outcome
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

  async #turnAway(connection: PeerJsConnection, code: ErrorCode, lateMs: number): Promise<void> {
    switch (code) {
      case 'name-taken':
        await this.#refuse(connection, ID_TAKEN_FRAME, code, lateMs)
        return
      case 'draining':
      case 'registry-unavailable':
      case 'overloaded':
      case 'rate-limited':
        // An ERROR would end the peer for good; after a mere close it may try again.
        await this.#refused(connection, code, lateMs)
        connection.close(code === 'draining' ? 'drain' : code)
        return
      default:
        await this.#refuse(connection, encodeError(errorTexts[code]), code, lateMs)
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

  /** Whoever tries names or tokens gets its answers so late. */
  #guessed(address: string, name: string): number {
    return Math.min(this.#options.limits.claimFailed(address, name), SLOWED_MOST_MS)
  }
}

/** Paths of ours that look like keys. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['v1', 'peerage'])
/** Parts an access token from the peer's own secret, in PeerJS's one `token` field; no token of ours has it. */
const TOKEN_DIVIDER = '~'

type KeyMeaning = { ok: true; app: App | undefined } | { ok: false }

/** Whether a key is served, and the app that it stands for where there is a mapping [P2]. */
export function meaningOf(keys: PeerJsKeys, key: string): KeyMeaning {
  if (RESERVED_KEYS.has(key)) return { ok: false }
  if (typeof keys === 'string')
    return keys === '*' || sameSecret(keys, key) ? { ok: true, app: undefined } : { ok: false }
  const app = Object.hasOwn(keys, key) ? keys[key] : undefined
  return app === undefined ? { ok: false } : { ok: true, app }
}

type PeerJsAdmitted =
  /** `identity`: proven by the access rules; `secret`: what takes the name back. */
  | { ok: true; peer: Peer; app: App; secret: string; identity: string | undefined }
  /** `text`: for the ERROR frame. `what`: for metrics. */
  | { ok: false; text: string; what: string }

interface Applicant {
  credentials: Credentials
  origin: string | undefined
  address: string
}

/**
 * Who may come in, and as whom. The access rules see what stands in PeerJS's `token` field (up to a `~`, if there is
 * one); where that does not do, what stands in its `key` field, so that a shared key can travel in either [P11].
 */
async function admitPeerJs(
  applicant: Applicant,
  { access, key: keys }: { access: Access; key: PeerJsKeys },
): Promise<PeerJsAdmitted> {
  const { id, token, key } = applicant.credentials
  const name = parseName(id)
  if (!name.ok) return { ok: false, text: `Invalid id provided: ${name.problem}`, what: 'bad-name' }
  const meaning = meaningOf(keys, key)
  const divider = token.indexOf(TOKEN_DIVIDER)
  const presented = divider < 0 ? token : token.slice(0, divider)
  const asked = (presented: string): AdmitRequest => ({
    name: name.value,
    wire: 'peerjs',
    address: applicant.address,
    token: presented,
    ...(meaning.ok && meaning.app !== undefined ? { app: meaning.app } : {}),
    ...(applicant.origin === undefined ? {} : { origin: applicant.origin }),
  })
  if (meaning.ok) {
    const admitted = await access.admit(asked(presented))
    // A token that many peers share is no secret of one of them: its bearer cannot take a name back [I9].
    const shared = admitted.ok && admitted.identity !== undefined && divider < 0
    if (admitted.ok)
      return accept(name.value, admitted, shared ? randomBytes(16).toString('base64url') : token)
  }
  const admitted = await access.admit(asked(key))
  if (admitted.ok && admitted.identity !== undefined) return accept(name.value, admitted, token)
  return { ok: false, text: meaning.ok ? refusals.token : refusals.key, what: 'forbidden' }
}

function accept(name: Name, admitted: { app: App; identity?: string }, secret: string): PeerJsAdmitted {
  const { app, identity } = admitted
  // The name is a piece of the whole query until it is copied, and would keep all of it.
  const own = parsePeer(Buffer.from(peerOf(app, name)).toString())
  return { ok: true, peer: own.ok ? own.value : peerOf(app, name), app, secret, identity }
}
