import type { Whom } from '@peerage/core'
import { closeCodes, closeTextOf, type App } from '@peerage/protocol'
import { CLOCK_TOLERANCE_MS } from '../../access/claims.js'
import { banKey, decodeBan, encodeBan, readBanKey, type Ban, type BanKind } from '../../access/revocations.js'
import { cursorOf, startOf } from '../cursors.js'
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
  /** Writes a ban or a revocation. Resolves with the time of its end, or undefined if there are too many. */
  async function ban(app: App, whom: Banned, { until, before }: Ban): Promise<number | undefined> {
    const ms = until - clock.now()
    const text = encodeBan({ until, ...(before === undefined ? {} : { before }) })
    const put = await records.put(app, 'bans', banKey(whom.kind, whom.value), text, ms, BANS_MOST)
    return put === 'full' ? undefined : until
  }

  /** How long a token that is accepted now may still be accepted: its `exp` is up to the tolerance further ahead, and it counts that much longer. */
  const revokedMs = (app: App): number => tokenMs(app) + 2 * CLOCK_TOLERANCE_MS

  async function disconnect(
    app: App,
    { whom, banned }: { whom: Whom; banned: Banned },
    { code, reason, banMs }: { code: number; reason?: string | undefined; banMs?: number | undefined },
  ) {
    // First the ban, so that the peer cannot come back in between.
    const until = banMs === undefined ? undefined : await ban(app, banned, { until: clock.now() + banMs })
    if (banMs !== undefined && until === undefined) return FULL
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

    revokeTokens: route(operations.revokeTokens, async ({ app, body: { jti, sub, before: asked } }) => {
      const isOne = jti !== undefined
      const about: Banned = isOne ? { kind: 'token', value: jti } : { kind: 'tokens', value: sub ?? '' }
      // No later request loosens a revocation.
      const [known] = await records.get(app, 'bans', [banKey(about.kind, about.value)])
      const former = known === undefined ? undefined : decodeBan(known)
      const before = isOne ? undefined : Math.max(asked ?? clock.now(), former?.before ?? 0)
      const until = await ban(app, about, {
        until: Math.max(clock.now() + revokedMs(app), former?.until ?? 0),
        ...(before === undefined ? {} : { before }),
      })
      if (until === undefined) return FULL
      const whom = isOne ? { tokenId: jti } : { identity: about.value }
      const text = closeTextOf('token-expired')
      const { closed = null } = await node.disconnects.disconnect(app, whom, {
        code: closeCodes['token-expired'],
        text,
        ...(before === undefined ? {} : { before }),
      })
      return done({ closed, until })
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
