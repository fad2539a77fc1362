import type { Whom } from '@peerage/core'
import { closeCodes, closeTextOf, type App } from '@peerage/protocol'
import { CLOCK_TOLERANCE_MS } from '../../access/claims.js'
import { banKey, decodeBan, encodeBan, readBanKey, type Ban, type BanKind } from '../../access/revocations.js'
import { cursorOf, startOf } from '../cursors.js'
import { BAN_MOST_MS } from '../access-schemas.js'
import type { ApiDependencies } from '../dependencies.js'
import { operations } from '../operations.js'
import { BAD_CURSOR, done, notFound, refuse } from '../replies.js'
import { route } from '../route.js'

/** Bans and revocations of one app. The store keeps each of them until it ends, so their number is bounded. */
const BANS_MOST = 100_000
/** How long a minted token is valid, if the request does not say. */
const TOKEN_MS = 3_600_000

/** Whom a ban or a revocation is about. */
interface Banned {
  kind: BanKind
  value: string
}

/** Disconnects, bans, tokens and their revocation. */
export function accessRoutes({ node, records, mint, tokenMs, clock }: ApiDependencies) {
  /** Writes a ban or a revocation. False: there are too many. */
  async function put(app: App, { kind, value }: Banned, ban: Ban): Promise<boolean> {
    const ttlMs = ban.until - clock.now()
    return (await records.put(app, 'bans', banKey(kind, value), encodeBan(ban), ttlMs, BANS_MOST)) !== 'full'
  }

  /**
   * Writes a revocation. It never makes a token valid that an earlier one has made void: of the two times before which
   * tokens are void, and of the two ends, the later one counts. Undefined: there are too many.
   */
  async function revoke(app: App, what: Banned, { until, before }: Ban): Promise<Ban | undefined> {
    const [text] = await records.get(app, 'bans', [banKey(what.kind, what.value)])
    const earlier = text === undefined ? undefined : decodeBan(text)
    const both: Ban = {
      until: Math.max(until, earlier?.until ?? 0),
      ...(before === undefined ? {} : { before: Math.max(before, earlier?.before ?? 0) }),
    }
    return (await put(app, what, both)) ? both : undefined
  }

  async function disconnect(
    app: App,
    { whom, banned }: { whom: Whom; banned: Banned },
    { code, reason, banMs }: { code: number; reason?: string | undefined; banMs?: number | undefined },
  ) {
    // First the ban, so that the peer cannot come back in between.
    const until = banMs === undefined ? undefined : clock.now() + banMs
    if (until !== undefined && !(await put(app, banned, { until }))) return FULL
    const text = reason ?? closeTextOf('disconnected')
    const { closed = null } = await node.disconnects.disconnect(app, whom, { code, text })
    return done(until === undefined ? { closed } : { closed, until })
  }

  return {
    disconnectPeer: route(operations.disconnectPeer, ({ app, params: { name }, body }) =>
      disconnect(app, { whom: { name }, banned: { kind: 'name', value: name } }, body),
    ),

    disconnectIdentity: route(operations.disconnectIdentity, ({ app, params: { sub }, body }) =>
      disconnect(app, { whom: { identity: sub }, banned: { kind: 'identity', value: sub } }, body),
    ),

    listBans: route(operations.listBans, async ({ app, query: { limit, cursor } }) => {
      const start = startOf(app, 'bans', cursor)
      if (start === undefined) return BAD_CURSOR
      const page = await records.page(app, 'bans', start.after, limit)
      return done({
        bans: page.records.flatMap(({ key, value }) => readBan(key, value) ?? []),
        ...(page.next === undefined ? {} : { next: cursorOf(app, 'bans', [page.next]) }),
      })
    }),

    liftBan: route(operations.liftBan, async ({ app, params: { kind, value } }) =>
      (await records.delete(app, 'bans', banKey(kind, value)))
        ? done(undefined)
        : notFound('there is no such ban'),
    ),

    mintToken: route(operations.mintToken, async ({ app, body: { sub, ttlMs: asked, peerage } }) => {
      const ttlMs = asked ?? Math.min(TOKEN_MS, tokenMs(app))
      if (ttlMs > tokenMs(app))
        return refuse('bad-request', `body.ttlMs: this app takes tokens of at most ${tokenMs(app)} ms`)
      const minted = await mint(app, { sub, ttlMs, peerage })
      if (minted !== undefined) return done(minted)
      return refuse(
        'no-signing-key',
        'this app has no access.token.secret; mint its tokens where its signing key is',
      )
    }),

    revokeTokens: route(operations.revokeTokens, async ({ app, body }) => {
      const { kind, value, expiresAt = 0 } = body
      const now = clock.now()
      if (expiresAt > now + BAN_MOST_MS)
        return refuse('bad-request', `body.expiresAt: must be at most ${BAN_MOST_MS} ms ahead`)
      // A node takes a token whose end is by the tolerance too far ahead, and takes it until the tolerance after its end.
      const until = Math.max(now + tokenMs(app) + CLOCK_TOLERANCE_MS, expiresAt) + CLOCK_TOLERANCE_MS
      const ban = body.kind === 'tokens' ? { until, before: body.before ?? now } : { until }
      const revoked = await revoke(app, { kind, value }, ban)
      if (revoked === undefined) return FULL
      const { before } = revoked
      const whom = kind === 'token' ? { tokenId: value } : { identity: value }
      const { closed = null } = await node.disconnects.disconnect(app, whom, {
        code: closeCodes['token-expired'],
        text: closeTextOf('token-expired'),
        ...(before === undefined ? {} : { before }),
      })
      return done({ closed, until: revoked.until })
    }),
  }
}

const FULL = refuse(
  'too-many',
  `an app may have ${BANS_MOST} bans and revocations at a time; lift some, or wait`,
)

/** Undefined for a record that no node of this version has written. */
function readBan(key: string, text: string): (Banned & Ban) | undefined {
  const [about, ban] = [readBanKey(key), decodeBan(text)]
  return about && ban && { ...about, ...ban }
}
