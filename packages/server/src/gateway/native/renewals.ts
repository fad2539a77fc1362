import type { Clock, OnlineSession } from '@peerage/core'
import type { Name, NodeMessageOf, PeerMessageOf, ProtocolError } from '@peerage/protocol'
import { appOf, nameOf, protocolError, temporary } from '@peerage/protocol'
import type { AccessEnds } from '../shared/access-ends.js'
import type { AdmitRequest, Allowed } from '../shared/access.js'
import type { Refused } from '../shared/claimer.js'
import { holderOf, ownText } from '../shared/claimer.js'
import type { Limits } from '../shared/limits.js'
import type { NativeConnection } from './connection.js'
import { isRenewable } from './connection.js'
import { tokenMsOf } from './entry.js'
import type { NativeGatewayOptions } from './options.js'
import { Ungranted } from './ungranted.js'

export interface RenewalsOptions extends Pick<
  NativeGatewayOptions,
  'node' | 'clock' | 'limits' | 'metrics' | 'access' | 'revocations' | 'onRefused' | 'onError'
> {
  accessEnds: AccessEnds
}

/** How long an access holds whose token cannot be compared with the bans. */
const UNCHECKED_MS = 60_000

/** Undefined if the connection has ended. */
type Answer = NodeMessageOf<'renewed'> | ProtocolError | undefined

/** Replaces the access tokens of open connections, so that a connection outlives its token. */
export class Renewals {
  readonly #options: RenewalsOptions
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #ungranted: Ungranted

  constructor(options: RenewalsOptions) {
    this.#ungranted = new Ungranted(options)
    this.#options = options
    this.#clock = options.clock
    this.#limits = options.limits
  }

  /** Asked before the token is checked. To check it costs as much as at a claim, and wrong ones count alike. */
  overRate({ address, app, nativeRates }: NativeConnection): ProtocolError | undefined {
    const now = this.#clock.monotonic()
    const failuresMs = this.#limits.failuresMs(address)
    const waitMs = Math.max(failuresMs, nativeRates.joins.take(1, now), app?.connects.take(1, now) ?? 0)
    return waitMs > 0 ? protocolError('rate-limited', 'too many renewals', waitMs) : undefined
  }

  /** The new token must be for the same identity and allow the name that the peer has. */
  async renew(
    connection: NativeConnection,
    session: OnlineSession,
    { id, token }: PeerMessageOf<'renew'>,
  ): Promise<Answer> {
    const { app, access, address, wire } = connection
    if (app === undefined || !isRenewable(access))
      return protocolError('forbidden', 'this app has no access tokens')
    const [asked, name] = [appOf(session.peer), nameOf(session.peer)]
    const rules = this.#options.access ?? app.policy
    const request: AdmitRequest = {
      app: asked,
      name,
      isNameMade: false,
      wire,
      address,
      token,
      isRenewal: true,
    }
    if (connection.origin !== undefined) request.origin = connection.origin
    const admitted = await rules.admit(request)
    if (!admitted.ok) return this.#refuse(connection, admitted)
    if (admitted.app !== app.app || admitted.identity !== access.identity)
      return this.#refuse(connection, OTHER_IDENTITY)
    const renewed = await this.#checked(connection, { name, former: access, admitted })
    if (!renewed.ok) return this.#refuse(connection, renewed)
    if (!connection.isOpen) return undefined
    this.#options.node.sessions.apply(connection.id, { type: 'renewed', holder: holderOf(renewed) })
    connection.access = renewed
    connection.followRates()
    this.#options.accessEnds.set(connection, renewed)
    this.#ungranted.end(connection, session)
    return { type: 'renewed', id, ...tokenMsOf(renewed, this.#clock.now()) }
  }

  /**
   * Whether the new token is banned or revoked. If nobody can say, because the registry is down, the access holds for a
   * minute: connections outlive an outage, and the next renewal asks again.
   */
  async #checked(
    { app }: NativeConnection,
    { name, former, admitted }: { name: Name; former: Allowed; admitted: Allowed },
  ): Promise<Allowed | Refused> {
    const { revocations } = this.#options
    if (app?.policy.hasApi !== true || revocations === undefined) return admitted
    const revoked = await revocations.check(app.app, { name, ...holderOf(admitted) })
    if (revoked.ok) return admitted
    if (revoked.code !== 'access-unavailable' || former.endsAt === undefined) return revoked
    const until = Math.max(former.endsAt, this.#clock.now() + UNCHECKED_MS)
    return { ...admitted, endsAt: Math.min(admitted.endsAt ?? until, until), toleranceMs: 0 }
  }

  /** A refused renewal changes nothing: the connection ends when its former token does. */
  #refuse({ address, app, wire, peer }: NativeConnection, refused: Refused): ProtocolError {
    const { code, detail, retryAfterMs } = refused
    const { metrics, onRefused } = this.#options
    onRefused({ wire, code, app: app?.app, detail: ownText(refused) })
    if (app !== undefined) metrics.appRefused(app.policy.label, code)
    if (!temporary[code] && peer !== undefined)
      this.#limits.claimFailed(address, peer, app?.policy.limits.name.failuresPerMinute ?? 0)
    return protocolError(code, detail, retryAfterMs)
  }
}

const OTHER_IDENTITY: Refused = {
  ok: false,
  code: 'forbidden',
  detail: 'the new access token is for another identity; connect again with it',
}
