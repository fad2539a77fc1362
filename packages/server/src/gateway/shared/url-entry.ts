import type { IncomingHttpHeaders } from 'node:http'
import type { AnonymousSession, OnlineSession, Wire } from '@peerage/core'
import { mintName } from '@peerage/core'
import type { CloseReason, ErrorCode, Name } from '@peerage/protocol'
import { errorTexts } from '@peerage/protocol'
import type { AccessEnds } from './access-ends.js'
import type { AdmitRequest } from './access.js'
import type { Applicant, Claimed } from './claimer.js'
import { Claimer } from './claimer.js'
import type { GatewayOptions } from './gateway.js'
import type { UrlConnection, UrlHost } from './url-connection.js'
import type { UrlCredentials } from './url-credentials.js'

export interface UrlEntryOptions extends GatewayOptions {
  wire: Wire
  accessEnds: AccessEnds
  turnAway: UrlHost['turnAway']
}

/** Lets peers in that present everything in their URL, with a name or without. A refused peer is turned away [UW4]. */
export class UrlEntry {
  readonly #options: UrlEntryOptions
  readonly #claimer: Claimer

  constructor(options: UrlEntryOptions) {
    this.#options = options
    this.#claimer = new Claimer(options)
  }

  /** Lets the peer in without a name. Never rejects. */
  async enter(
    connection: UrlConnection<UrlHost, AnonymousSession>,
    credentials: UrlCredentials,
    headers: IncomingHttpHeaders,
  ): Promise<void> {
    const { metrics, wire } = this.#options
    const applicant = this.#applicantOf(connection, credentials, headers, mintName())
    const entered = await this.#settled(connection, this.#claimer.enterAnonymous(connection, applicant))
    if (entered === undefined) return
    metrics.registered(wire, 'ok')
    this.#isIn(connection)
    connection.entered(entered.session)
  }

  /**
   * Claims the name that the node has made for the peer. Resolves with undefined if the peer has gone, or was refused.
   * The caller calls `connection.entered` when the peer may send. Never rejects.
   */
  async claim(
    connection: UrlConnection<UrlHost, OnlineSession>,
    credentials: UrlCredentials,
    headers: IncomingHttpHeaders,
    name: Name,
  ): Promise<OnlineSession | undefined> {
    const { metrics, wire } = this.#options
    const applicant = this.#applicantOf(connection, credentials, headers, name)
    const claimed = await this.#settled(connection, this.#claimer.claim(connection, applicant))
    if (claimed === undefined) return undefined
    metrics.registered(wire, claimed.reclaimed ? 'reclaimed' : 'ok')
    connection.named(claimed.session.peer)
    this.#isIn(connection)
    return claimed.session
  }

  /** Turns a peer away that may not come in. It gets the text in the close frame. */
  refuse(
    connection: UrlConnection<UrlHost, AnonymousSession | OnlineSession>,
    code: ErrorCode,
    text: string,
  ): void {
    const { metrics, turnAway, wire } = this.#options
    metrics.registered(wire, code)
    const reason = reasonOf(code)
    if (reason === 'drain') connection.close(reason)
    else turnAway(connection, reason, { text })
  }

  async #settled<T extends { ok: true }>(
    connection: UrlConnection<UrlHost, AnonymousSession> | UrlConnection<UrlHost, OnlineSession>,
    outcome: Promise<T | Extract<Claimed, { ok: false }> | undefined>,
  ): Promise<T | undefined> {
    try {
      const settled = await outcome
      if (settled === undefined || settled.ok) return settled
      const { code, detail = errorTexts[code] } = settled
      this.refuse(connection, code, detail)
    } catch (error) {
      this.#options.onError(error, { stage: 'claim' })
      this.#options.metrics.registered(this.#options.wire, 'internal')
      this.#options.turnAway(connection, 'internal')
    }
    return undefined
  }

  #isIn(connection: UrlConnection<UrlHost, AnonymousSession> | UrlConnection<UrlHost, OnlineSession>): void {
    if (connection.isOpen) this.#options.accessEnds.set(connection, connection.access)
  }

  #applicantOf(
    { address }: { address: string },
    { app, token }: UrlCredentials,
    headers: IncomingHttpHeaders,
    name: Name,
  ): Applicant {
    const { origin } = headers
    const asked: AdmitRequest = { name, isNameMade: true, wire: this.#options.wire, address, headers }
    if (app !== undefined) asked.app = app
    if (token !== undefined) asked.token = token
    if (origin !== undefined) asked.origin = origin
    // Nobody can take such a name back, so the secret is one that nobody knows.
    const secret = mintName()
    return {
      app,
      name,
      // The ids of these wires are not names that somebody chose. So a name that the rules choose is not used.
      isNameMade: false,
      origin,
      admit: async (access) => ({ admitted: await access.admit(asked), secret }),
    }
  }
}

/** The reason of the close after a refusal. */
function reasonOf(code: ErrorCode): CloseReason {
  switch (code) {
    case 'draining':
      return 'drain'
    case 'access-unavailable':
    case 'registry-unavailable':
    case 'overloaded':
    case 'rate-limited':
      return code
    default:
      return 'refused'
  }
}
