import type { ClaimOutcome, ClaimRequest, OnlineSession } from '@peerage/core'
import type { ErrorCode, Name, Peer } from '@peerage/protocol'
import { parsePeer, peerOf } from '@peerage/protocol'
import type { Access, Admitted } from './access.js'
import type { WebSocketConnection } from './connection.js'
import type { GatewayOptions } from './gateway.js'
import { pause } from './gateway.js'

/** A peer that asks for a name. */
export interface Applicant {
  name: Name
  /** Asks the access rules, in the way of its wire. `secret`: what takes the name back. */
  admit(access: Access): Promise<Extract<Admitted, { ok: false }> | AdmittedPeer>
  /** Asked when the peer may come in. False: there is no room for it. */
  takePlace?(peer: Peer): boolean
}

export type AdmittedPeer = Extract<Admitted, { ok: true }> & { secret: string }

export type Claimed =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  /**
   * `detail`: what the access rules said; absent: they were not what refused. `waitMs`: how long one who fails so often
   * must wait; 0: it may go on.
   */
  | { ok: false; code: ErrorCode; detail?: string; waitMs: number }

export interface ClaimerOptions extends Pick<
  GatewayOptions,
  'node' | 'clock' | 'access' | 'limits' | 'policy'
> {
  /** A name that is taken is asked for again after each of these: its holder may be about to leave. */
  takenRetriesMs?: readonly number[]
}

/** A flood of claims for one held name must not become four floods. */
const RETRYING_MOST = 100

/** From a peer that asks for a name to its session: what all wires do alike. */
export class Claimer {
  readonly #options: ClaimerOptions
  #retrying = 0

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  /** Resolves with undefined where the peer has gone before it could be let in. */
  async claim(connection: WebSocketConnection, applicant: Applicant): Promise<Claimed | undefined> {
    const { access, limits, policy } = this.#options
    const { address } = connection
    // Asked before the access rules and the registry are, so that a right token gets no other answer than a wrong one.
    // Not for the name as well: anybody could keep its holder out.
    const waitMs = limits.failuresMs(address)
    if (waitMs > 0) return { ok: false, code: 'rate-limited', waitMs }
    const admitted = await applicant.admit(access)
    if (!admitted.ok) {
      const { code, detail } = admitted
      return { ok: false, code, detail, waitMs: limits.claimFailed(address, applicant.name) }
    }
    if (!connection.isOpen) return undefined
    const { app, identity, secret } = admitted
    const peer = copied(peerOf(app, applicant.name))
    if (applicant.takePlace?.(peer) === false) return { ok: false, code: 'overloaded', waitMs: 0 }
    const request: ClaimRequest = { peer, secret, policy: identity === undefined ? 'refuse' : policy(app) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) return outcome
    const { code } = outcome
    return { ok: false, code, waitMs: code === 'name-taken' ? limits.claimFailed(address, peer) : 0 }
  }

  async #claim(connection: WebSocketConnection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { node, clock, takenRetriesMs = [] } = this.#options
    let outcome = await node.claim(connection, request)
    for (const waitMs of takenRetriesMs) {
      if (outcome.ok || outcome.code !== 'name-taken' || this.#retrying >= RETRYING_MOST) return outcome
      this.#retrying++
      await pause(clock, waitMs)
      this.#retrying--
      outcome = await node.claim(connection, request)
    }
    return outcome
  }
}

/** A name is a piece of the text that it came in, and would keep all of it. */
function copied(peer: Peer): Peer {
  const own = parsePeer(Buffer.from(peer).toString())
  return own.ok ? own.value : peer
}
