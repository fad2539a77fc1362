import type { ClaimOutcome, ClaimRequest, Connection, Node, OnlineSession } from '@peerage/core'
import { hashSecret } from '@peerage/core'
import type { ErrorCode, Name, Peer } from '@peerage/protocol'
import { parsePeer, peerOf } from '@peerage/protocol'
import type { Access, Admitted } from './access.js'
import type { GatewayOptions } from './gateway.js'
import { pause } from './gateway.js'

/** A peer that asks for a name. */
export interface Applicant {
  name: Name
  /** Asks the access rules, in the way of its wire. */
  admit(access: Access): Promise<Decision>
  /** Asked when the peer may come in. False: there is no room for it. */
  takePlace?(peer: Peer): boolean
}

/** `address`: what limits count it by. */
export type ClaimingConnection = Connection & { readonly address: string }

/** What the access rules said, as they said it, and what takes the name back. */
export interface Decision {
  admitted: Admitted
  secret: string
}

export type Claimed =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  /**
   * `detail`: what the access rules said; absent: they were not what refused. `waitMs`: how long one who fails so often
   * must wait; 0: it may go on.
   */
  | { ok: false; code: ErrorCode; detail?: string; waitMs: number }

export interface ClaimerOptions extends Pick<GatewayOptions, 'clock' | 'access' | 'limits' | 'policy'> {
  node: Pick<Node, 'claim'>
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
  async claim(connection: ClaimingConnection, applicant: Applicant): Promise<Claimed | undefined> {
    const { access, limits, policy } = this.#options
    const { address } = connection
    // Asked before the access rules and the registry are, so that a right token gets no other answer than a wrong one.
    // Not for the name as well: anybody could keep its holder out.
    const waitMs = limits.failuresMs(address)
    if (waitMs > 0) return { ok: false, code: 'rate-limited', waitMs }
    const { admitted, secret } = await applicant.admit(access)
    if (!admitted.ok) {
      const { code, detail } = admitted
      return { ok: false, code, detail, waitMs: limits.claimFailed(address, copyOf(applicant.name)) }
    }
    if (!connection.isOpen) return undefined
    const { app, identity } = admitted
    const peer = ownPeer(peerOf(app, applicant.name))
    if (applicant.takePlace?.(peer) === false) return { ok: false, code: 'overloaded', waitMs: 0 }
    const request: ClaimRequest = { peer, secret, policy: identity === undefined ? 'refuse' : policy(app) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) return outcome
    const { code } = outcome
    if (code !== 'name-taken') return { ok: false, code, waitMs: 0 }
    // The hash is no name: who is refused as `default/bob` costs the bob of app `default` nothing.
    return { ok: false, code, waitMs: limits.claimFailed(address, hashSecret(peer, '')) }
  }

  async #claim(connection: ClaimingConnection, request: ClaimRequest): Promise<ClaimOutcome> {
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
const copyOf = (text: string): string => Buffer.from(text).toString()

function ownPeer(peer: Peer): Peer {
  const own = parsePeer(copyOf(peer))
  return own.ok ? own.value : peer
}
