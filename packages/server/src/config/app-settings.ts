import { parseApp, type App } from '@peerage/protocol'
import type { AccessSettings, Algorithm, TokenKeys, WebhookSettings } from '../access/app-access.js'
import { readPublicKey } from '../access/verification-key.js'
import type { AccessConfig } from './app-schema.js'
import { isFixedPlace, isLoopback } from './hosts.js'
import type { SettingProblem } from './load.js'
import type { Config } from './schema.js'

/** The settings of one app: its own, and for what it leaves out those of the node. */
export interface AppSettings {
  access: AccessSettings
  origins: Config['origins']
  taken: Config['taken']
  limits: Pick<Config['limits'], 'connection' | 'name' | 'app'>
  relay: Config['relay']
  turn: Config['p2p']['turn']
  discovery: boolean
  peerjsKeys: readonly string[]
  apiKeys: readonly string[]
}

/** The apps that the configuration lists. If there are none, peers may choose any app. */
export function listedApps({ apps }: Pick<Config, 'apps'>): App[] {
  return Object.keys(apps).flatMap((text) => {
    const app = parseApp(text)
    return app.ok ? [app.value] : []
  })
}

/** Peers may choose any app where none is listed, so a budget for each of these would keep nobody out. */
const NO_BUDGET = { connections: 0, connectsPerSecond: 0, messagesPerSecond: 0, bytesPerSecond: 0 }

/**
 * Whether apps that are not listed are served, if none is listed. With tokens and webhooks each app costs a cache and
 * calls, which no stranger may choose for us.
 */
export function isForAnyApp(mode: AccessSettings['mode']): boolean {
  return mode === 'open' || mode === 'key'
}

/** The settings of an app, whether it is listed or not. The configuration was checked. */
export function settingsOf(config: Config, app: App): AppSettings {
  const own = Object.hasOwn(config.apps, app) ? config.apps[app] : undefined
  const { limits, relay } = config
  const access = readAccess(own?.access ?? config.access)
  if (!access.ok) throw new TypeError(`access of ${app} ${access.problems[0]?.problem}`)
  return {
    access: access.settings,
    origins: own?.origins ?? config.origins,
    taken: own?.taken ?? config.taken,
    limits: {
      connection: over(limits.connection, own?.limits?.connection),
      name: over(limits.name, own?.limits?.name),
      app: own === undefined ? NO_BUDGET : over(limits.app, own.limits?.app),
    },
    relay: over(relay, own?.relay),
    turn: own?.turn ?? config.p2p.turn,
    discovery: own?.discovery ?? config.peerjs.allowDiscovery,
    peerjsKeys: own?.peerjsKeys ?? [],
    apiKeys: own?.api?.keys ?? (app === config.defaultApp ? config.api.keys : []),
  }
}

/** The values of a section, with those replaced that are set in another. */
function over<T extends object>(section: T, own: { [K in keyof T]?: T[K] | undefined } | undefined): T {
  const set = Object.entries(own ?? {}).filter(([, value]) => value !== undefined)
  return { ...section, ...Object.fromEntries(set) }
}

export type ReadAccess = { ok: true; settings: AccessSettings } | { ok: false; problems: SettingProblem[] }

/** Reads a section `access` into the mode that it describes. The paths of problems begin below the section. */
export function readAccess(access: AccessConfig): ReadAccess {
  const mode = access.mode ?? (access.key === null ? 'open' : 'key')
  const problems = unusedBy(mode, access)
  switch (mode) {
    case 'open':
      return decided({ mode }, problems)
    case 'key': {
      const { key, previousKey } = access
      if (key !== null) return decided({ mode, key, previousKey }, problems)
      return { ok: false, problems: [...problems, { path: 'mode', problem: 'needs access.key' }] }
    }
    case 'token': {
      const keys = readTokenKeys(access.token)
      if (!keys.ok) return { ok: false, problems: [...problems, ...keys.problems] }
      const { algorithms, typ, issuer, lifetimeMs } = access.token
      return decided({ mode, token: { algorithms, keys: keys.keys, typ, issuer, lifetimeMs } }, problems)
    }
    case 'webhook': {
      const webhook = readWebhook(access.webhook)
      return webhook.ok
        ? decided({ mode, webhook: webhook.settings }, problems)
        : { ok: false, problems: [...problems, ...webhook.problems] }
    }
  }
}

function decided(settings: AccessSettings, problems: SettingProblem[]): ReadAccess {
  return problems.length === 0 ? { ok: true, settings } : { ok: false, problems }
}

/** Settings of another mode. They would look as if they did something. */
function unusedBy(mode: AccessSettings['mode'], access: AccessConfig): SettingProblem[] {
  const { key, previousKey, token, webhook } = access
  const set: [path: string, of: string, isSet: boolean][] = [
    ['key', 'key', key !== null],
    ['previousKey', 'key', previousKey !== null],
    ['token.algorithms', 'token', token.algorithms.length > 0],
    ['token.secret', 'token', token.secret !== null],
    ['token.previousSecret', 'token', token.previousSecret !== null],
    ['token.publicKey', 'token', token.publicKey !== null],
    ['token.jwks', 'token', token.jwks !== null],
    ['token.allowPrivate', 'token', token.allowPrivate],
    ['token.typ', 'token', token.typ !== null],
    ['token.issuer', 'token', token.issuer !== null],
    ['webhook.url', 'webhook', webhook.url !== null],
    ['webhook.secret', 'webhook', webhook.secret !== null],
  ]
  return set.flatMap(([path, of, isSet]) =>
    isSet && of !== mode
      ? [
          {
            path,
            problem: `is for access.mode: ${of}, and the mode is ${mode}: set the mode, or leave this out`,
            because: 'mode',
          },
        ]
      : [],
  )
}

type ReadKeys = { ok: true; keys: TokenKeys } | { ok: false; problems: SettingProblem[] }

const SOURCES = 'access.token.secret, access.token.publicKey and access.token.jwks'

function readTokenKeys(token: AccessConfig['token']): ReadKeys {
  const { algorithms, secret, previousSecret, publicKey, jwks, allowPrivate } = token
  const problems: SettingProblem[] = []
  const wrong = (path: string, problem: string): void =>
    void problems.push({ path: `token.${path}`, problem })
  if (algorithms.length === 0) wrong('algorithms', 'must name the algorithms of your tokens, such as [ES256]')
  if (previousSecret !== null && secret === null)
    wrong('previousSecret', 'needs access.token.secret, which replaces it')
  if (allowPrivate && jwks === null) wrong('allowPrivate', 'needs access.token.jwks')
  const keys: TokenKeys[] = []
  if (secret !== null) keys.push({ type: 'secret', secret, previousSecret })
  if (publicKey !== null) keys.push({ type: 'public-key', pem: publicKey })
  if (jwks !== null) keys.push({ type: 'jwks', url: jwks, allowPrivate: mayBePrivate(jwks, allowPrivate) })
  const [only, more] = keys
  if (only === undefined) {
    problems.push({ path: 'mode', problem: `token needs one of ${SOURCES}`, because: 'token' })
    return { ok: false, problems }
  }
  if (more !== undefined)
    wrong(pathOf(more), `is set, and access.token.${pathOf(only)} is set too: set only one of ${SOURCES}`)
  const unfit = algorithms.filter((algorithm) => isHmac(algorithm) !== (only.type === 'secret'))
  if (unfit.length > 0)
    wrong(
      'algorithms',
      only.type === 'secret'
        ? `must be [HS256] with access.token.secret; ${unfit.join(', ')} needs access.token.publicKey or access.token.jwks`
        : 'must not have HS256 with public keys: anybody who knows a public key could sign. HS256 needs access.token.secret',
    )
  if (only.type === 'public-key' && unfit.length === 0) {
    const read = readPublicKey(only.pem, algorithms)
    if (!read.ok) wrong('publicKey', read.problem)
  }
  if (only.type === 'jwks' && isReadable(only.url) && !allowPrivate)
    wrong(
      'jwks',
      `${needsHttps('access.token.allowPrivate')}: over http, anybody on the way could replace the keys`,
    )
  return problems.length === 0 ? { ok: true, keys: only } : { ok: false, problems }
}

const isHmac = (algorithm: Algorithm): boolean => algorithm === 'HS256'

function pathOf({ type }: TokenKeys): string {
  switch (type) {
    case 'secret':
      return 'secret'
    case 'public-key':
      return 'publicKey'
    case 'jwks':
      return 'jwks'
  }
}

type ReadWebhook = { ok: true; settings: WebhookSettings } | { ok: false; problems: SettingProblem[] }

function readWebhook(webhook: AccessConfig['webhook']): ReadWebhook {
  const { url, allowPrivate } = webhook
  if (url === null)
    return {
      ok: false,
      problems: [{ path: 'mode', problem: 'webhook needs access.webhook.url', because: 'webhook' }],
    }
  if (isReadable(url) && !allowPrivate) {
    const problem = `${needsHttps('access.webhook.allowPrivate')}: over http, anybody on the way could read tokens and let peers in`
    return { ok: false, problems: [{ path: 'webhook.url', problem }] }
  }
  return { ok: true, settings: { ...webhook, url, allowPrivate: mayBePrivate(url, allowPrivate) } }
}

/** The same for every URL that a node calls: the host may be private if the operator has written it, or allows it. */
const mayBePrivate = (url: string, allowPrivate: boolean): boolean =>
  allowPrivate || isFixedPlace(hostOf(url))

/** Whether others than this machine could read and change what is sent to the URL. */
const isReadable = (url: string): boolean => !url.startsWith('https:') && !isLoopback(hostOf(url))
const needsHttps = (setting: string): string =>
  `must be an https URL, or http on this machine, or ${setting} must be true`

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '')
