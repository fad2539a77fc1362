import type { Whom } from '@peerage/core'
import { closeCodes, closeTextOf, type App } from '@peerage/protocol'
import { z } from 'zod'
import { cursorOf, placeOf } from '../cursors.js'
import type { ApiDependencies } from '../dependencies.js'
import { operations } from '../operations.js'
import { BAD_CURSOR, done, notFound, refuse } from '../replies.js'
import { route } from '../route.js'

/** Bans and revocations of one app. Each is looked at for every claim, so they must fit into the store. */
const BANS_MOST = 100_000
/** How far the clocks of nodes and of those who sign tokens may differ. */
const TOLERANCE_MS = 30_000
/** The letter of each kind of ban in its key, which access/revocations.ts reads. */
const LETTERS = { name: 'n', identity: 's', token: 'j', tokens: 'r' } as const
type BanKind = keyof typeof LETTERS
const KINDS = ['name', 'identity', 'token', 'tokens'] as const satisfies BanKind[]

const stored = z.object({ until: z.number(), before: z.number().exactOptional() })

/** Disconnects, bans, tokens and their revocation. */
export function accessRoutes({ node, records, mint, tokenMs, clock }: ApiDependencies) {
  /** Writes a ban. Resolves with the time of its end, or undefined if there are too many. */
  async function ban(
    app: App,
    kind: BanKind,
    value: string,
    { ms, before }: { ms: number; before?: number | undefined },
  ): Promise<number | undefined> {
    const until = clock.now() + ms
    const text = JSON.stringify({ until, ...(before === undefined ? {} : { before }) })
    const put = await records.put(app, 'bans', keyOf(kind, value), text, ms, BANS_MOST)
    return put === 'full' ? undefined : until
  }

  async function disconnect(
    app: App,
    whom: { whom: Whom; kind: BanKind; value: string },
    { code, reason, banMs }: { code: number; reason?: string | undefined; banMs?: number | undefined },
  ) {
    // First the ban, so that the peer cannot come back in between.
    const until = banMs === undefined ? undefined : await ban(app, whom.kind, whom.value, { ms: banMs })
    if (banMs !== undefined && until === undefined) return FULL
    const text = reason ?? closeTextOf('disconnected')
    const { closed = null } = await node.disconnect(app, whom.whom, { code, text })
    return done(until === undefined ? { closed } : { closed, until })
  }

  return {
    disconnectPeer: route(operations.disconnectPeer, ({ app, params: { name }, body }) =>
      disconnect(app, { whom: { name }, kind: 'name', value: name }, body),
    ),

    disconnectIdentity: route(operations.disconnectIdentity, ({ app, params: { sub }, body }) =>
      disconnect(app, { whom: { identity: sub }, kind: 'identity', value: sub }, body),
    ),

    listBans: route(operations.listBans, async ({ app, query: { limit, cursor } }) => {
      const after = cursor === undefined ? undefined : placeOf(app, 'bans', cursor)?.[0]
      if (cursor !== undefined && typeof after !== 'string') return BAD_CURSOR
      const page = await records.page(app, 'bans', typeof after === 'string' ? after : undefined, limit)
      return done({
        bans: page.records.flatMap(({ key, value }) => readBan(key, value) ?? []),
        ...(page.next === undefined ? {} : { next: cursorOf(app, 'bans', [page.next]) }),
      })
    }),

    liftBan: route(operations.liftBan, async ({ app, params: { kind, value } }) =>
      (await records.delete(app, 'bans', keyOf(kind, value)))
        ? done(undefined)
        : notFound('there is no such ban'),
    ),

    mintToken: route(operations.mintToken, async ({ app, body: { sub, ttlMs, peerage } }) => {
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
      const ms = tokenMs(app) + TOLERANCE_MS
      const isOne = 'jti' in body
      const before = isOne ? undefined : (body.before ?? clock.now())
      const until = isOne
        ? await ban(app, 'token', body.jti, { ms })
        : await ban(app, 'tokens', body.sub, { ms, before })
      if (until === undefined) return FULL
      const whom = isOne ? { tokenId: body.jti } : { identity: body.sub }
      const text = closeTextOf('token-expired')
      const { closed = null } = await node.disconnect(app, whom, {
        code: closeCodes.disconnected,
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

function keyOf(kind: BanKind, value: string): string {
  return `${LETTERS[kind]}:${value}`
}

/** Undefined for a record that no node of this version has written. */
function readBan(
  key: string,
  text: string,
): { kind: BanKind; value: string; until: number; before?: number } | undefined {
  const kind = KINDS.find((one) => key.startsWith(`${LETTERS[one]}:`))
  if (kind === undefined) return undefined
  try {
    const { data } = stored.safeParse(JSON.parse(text))
    return data && { kind, value: key.slice(2), ...data }
  } catch {
    return undefined
  }
}
