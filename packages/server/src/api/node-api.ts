import type { Backend, Clock, OnError } from '@peerage/core'
import { mintToken, signingSecret } from '../access/signing-key.js'
import type { Apps } from '../apps/apps.js'
import { asBase } from '../config/kinds.js'
import type { Config } from '../config/schema.js'
import { Addresses } from '../gateway/shared/address.js'
import { readVersion } from '../lib/version.js'
import { createApi, type Api, type ApiOptions } from './create-api.js'
import type { Mint } from './dependencies.js'

export interface NodeApiOptions extends Pick<ApiOptions, 'metrics' | 'node'> {
  config: Config
  apps: Apps
  store: Pick<Backend, 'answers' | 'nodes' | 'records'>
  clock: Clock
  onError: OnError
}

/** The longest time of a token whose app does not say it: the default of `access.token.lifetimeMs`. */
const TOKEN_MS = 3_600_000

/** Creates the API of a node, as its configuration describes it. */
export function createNodeApi({ config, apps, store, ...options }: NodeApiOptions): Api {
  const { records, answers, nodes } = store
  return createApi({
    ...options,
    apps,
    records,
    answers,
    nodes,
    base: asBase(config.path),
    version: readVersion(),
    addresses: new Addresses(config.trustedProxies),
    graceMs: config.times.graceMs,
    failuresPerMinute: config.limits.address.failuresPerMinute,
    mint: minting(apps, options.clock),
    tokenMs: (app) => apps.tokenSettingsOf(app)?.lifetimeMs ?? TOKEN_MS,
  })
}

/** Mints with the secret of an app, if its tokens are signed with one. */
function minting(apps: Apps, clock: Clock): Mint {
  return async (app, { sub, ttlMs, peerage }) => {
    const settings = apps.tokenSettingsOf(app)
    if (settings?.keys.type !== 'secret') return undefined
    const { issuer, typ, keys } = settings
    const wanted = {
      app,
      subject: sub,
      ttlMs,
      ...(peerage === undefined ? {} : { peerage }),
      ...(issuer === null ? {} : { issuer }),
      ...(typ === null ? {} : { typ }),
    }
    const { token, tokenId, endsAt } = await mintToken(signingSecret(keys.secret), wanted, clock.now())
    return { token, jti: tokenId, expiresAt: endsAt }
  }
}
