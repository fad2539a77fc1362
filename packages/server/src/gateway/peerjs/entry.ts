import type { ClaimOutcome, ClaimRequest, Clock, Message, Node, OnlineSession } from '@peerage/core'
import type { ErrorCode, Peer } from '@peerage/protocol'
import { errorTexts } from '@peerage/protocol'
import type { Access } from '../shared/access.js'
import type { Limits } from '../shared/limits.js'
import type { GatewayMetrics } from '../shared/events.js'
import type { Arrival, PeerJsKeys } from './admit.js'
import { admitPeerJs } from './admit.js'
import type { PeerJsConnection } from './connection.js'
import { ID_TAKEN_FRAME, OPEN_FRAME, encodeError, refusals } from './wire.js'

export interface PeerJsEntryOptions {
  node: Node
  clock: Clock
  access: Access
  limits: Limits
  metrics: GatewayMetrics
  key: PeerJsKeys
  concurrentLimit: number
  policy: (app: string) => 'refuse' | 'replace'
  /** A frame that came before the name was claimed. */
  frame: (connection: PeerJsConnection, text: string) => void
  onPeer?: (event: 'connection' | 'disconnect', peer: Peer) => void
  onError: (error: unknown, context: { stage: string }) => void
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
  #admitted = 0
  #retrying = 0

  constructor(options: PeerJsEntryOptions) {
    this.#options = options
  }

  /** A connection has ended. */
  left(connection: PeerJsConnection): void {
    if (connection.counted) this.#admitted--
    if (connection.peer !== undefined) this.#tell('disconnect', connection.peer)
  }

  /** From credentials to a name: OPEN, or the reason why not. */
  async enter(connection: PeerJsConnection, arrival: Arrival): Promise<void> {
    const { access, key, limits, policy, metrics } = this.#options
    // Asked before the access rules and the registry are. A right token gets no other answer than a wrong one.
    const waitMs = limits.failuresMs(arrival.address)
    if (waitMs > 0) {
      await this.#turnAway(connection, 'rate-limited', Math.min(waitMs, SLOWED_MOST_MS))
      return
    }
    const admitted = await admitPeerJs(arrival, { access, keys: key })
    if (!admitted.ok) {
      const lateMs = this.#guessed(arrival.address, arrival.credentials.id)
      await this.refuse(connection, encodeError(admitted.text), admitted.what, lateMs)
      return
    }
    const { peer, secret, app, identity } = admitted
    if (this.#isFull(peer)) {
      await this.refuse(connection, encodeError(refusals.limit), 'overloaded')
      return
    }
    // Asking took its time, and the peer may have gone meanwhile.
    if (!connection.isOpen) return
    connection.counted = true
    this.#admitted++
    const request: ClaimRequest = { peer, secret, policy: identity === undefined ? 'refuse' : policy(app) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) {
      metrics.registered('peerjs', outcome.reclaimed ? 'reclaimed' : 'ok')
      await this.#welcome(connection, outcome.session)
      return
    }
    const lateMs = outcome.code === 'name-taken' ? this.#guessed(arrival.address, peer) : 0
    await this.#turnAway(connection, outcome.code, lateMs)
  }

  /** The limit counts peers; one that comes back over its own old socket is not one more. */
  #isFull(peer: Peer): boolean {
    const { concurrentLimit, node } = this.#options
    if (concurrentLimit === 0 || this.#admitted < concurrentLimit) return false
    return node.sessions.online(peer)?.connection.wire !== 'peerjs'
  }

  async #claim(connection: PeerJsConnection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { node } = this.#options
    let outcome = await node.claim(connection, request)
    for (const waitMs of TAKEN_RETRIES_MS) {
      if (outcome.ok || outcome.code !== 'name-taken' || this.#retrying >= RETRYING_MOST) return outcome
      this.#retrying++
      await this.#pause(waitMs)
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
    connection.peer = session.peer
    connection.greet(OPEN_FRAME)
    this.#tell('connection', session.peer)
    for (const text of connection.takeKept()) this.#options.frame(connection, text)
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
        await this.refuse(connection, ID_TAKEN_FRAME, code, lateMs)
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
        await this.refuse(connection, encodeError(errorTexts[code]), code, lateMs)
    }
  }

  /** An ERROR or ID-TAKEN, at least `lateMs` from now, and the end. */
  async refuse(connection: PeerJsConnection, frame: string, what: string, lateMs = 0): Promise<void> {
    await this.#refused(connection, what, lateMs)
    connection.write(frame)
    connection.close('refused')
  }

  /** Counts a refusal. Over the rate of its address the answer waits as well, and one wait does for both. */
  async #refused(connection: PeerJsConnection, what: string, lateMs: number): Promise<void> {
    const { metrics, limits } = this.#options
    metrics.registered('peerjs', what)
    const waitMs = Math.max(lateMs, limits.refusedMs(connection.address))
    if (waitMs > 0) await this.#pause(waitMs)
  }

  /** Whoever tries names or tokens gets its answers so late. */
  #guessed(address: string, name: string): number {
    return Math.min(this.#options.limits.claimFailed(address, name), SLOWED_MOST_MS)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve))
  }
}
