import { isDeepStrictEqual } from 'node:util'
import type { AccessSettings, Algorithm, TokenKeys, WebhookSettings } from '../access/app-access.js'
import { readPublicKey } from '../access/verification-key.js'
import { access as accessSchema, type AccessConfig } from './app-schema.js'
import { isFixedPlace, isLoopback } from './hosts.js'
import type { SettingProblem } from './load.js'

export type ReadAccess = { ok: true; settings: AccessSettings } | { ok: false; problems: SettingProblem[] }

/** Reads a section `access` into the mode that it describes. The paths of problems begin below the section. */
export function readAccess(access: AccessConfig): ReadAccess {
  const read = readMode(access)
  if (!read.ok) return read
  const { mode } = read
  switch (mode) {
    case 'open':
      return { ok: true, settings: { mode } }
    case 'key': {
      const { key, previousKey } = access
      if (key !== null) return { ok: true, settings: { mode, key, previousKey } }
      return { ok: false, problems: [lacking(read, 'access.key')] }
    }
    case 'token': {
      const keys = readTokenKeys(access.token, read)
      if (!keys.ok) return keys
      const { algorithms, typ, issuer, lifetimeMs } = access.token
      return { ok: true, settings: { mode, token: { algorithms, keys: keys.keys, typ, issuer, lifetimeMs } } }
    }
    case 'webhook': {
      const webhook = readWebhook(access.webhook, read)
      return webhook.ok ? { ok: true, settings: { mode, webhook: webhook.settings } } : webhook
    }
  }
}

type Mode = AccessSettings['mode']

/** A setting that only one mode reads. */
interface Used {
  path: string
  by: Mode
}

/** The settings that are set, and the mode that reads each of them. */
function usedSettings({ key, previousKey, token, webhook }: AccessConfig): Used[] {
  const used: Used[] = []
  const add = (by: Mode, path: string, isSet: boolean): void => void (isSet && used.push({ path, by }))
  add('key', 'key', key !== null)
  add('key', 'previousKey', previousKey !== null)
  for (const path of different(token, UNSET.token)) add('token', `token.${path}`, true)
  for (const path of different(webhook, UNSET.webhook)) add('webhook', `webhook.${path}`, true)
  return used
}

const UNSET = accessSchema.parse({})

/** The keys of a section whose values are not those of another. */
function different<T extends object>(section: T, other: T): string[] {
  return Object.entries(section).flatMap(([key, value]) =>
    isDeepStrictEqual(value, Reflect.get(other, key)) ? [] : [key],
  )
}

/** The mode of an access section. `saidBy`: the path of the setting that says so. */
interface MeantMode {
  mode: Mode
  saidBy: string
}

type ReadMode = ({ ok: true } & MeantMode) | { ok: false; problems: SettingProblem[] }

/** A mode without what it needs. If the section of the mode has another problem, only that is told. */
function lacking({ mode, saidBy }: MeantMode, needed: string): SettingProblem {
  return { path: saidBy, problem: `the mode ${mode} needs ${needed}`, because: [mode] }
}

function readMode(access: AccessConfig): ReadMode {
  const firsts = new Map<Mode, Used>()
  for (const used of usedSettings(access)) if (!firsts.has(used.by)) firsts.set(used.by, used)
  const { mode } = access
  if (mode === null) return meantBy([...firsts.values()])
  // The settings of another mode would look as if they did something.
  const unused = [...firsts.values()].filter(({ by }) => by !== mode)
  if (unused.length === 0) return { ok: true, mode, saidBy: 'mode' }
  const problems = unused.map(({ path, by }) => ({
    path,
    problem: `is for access.mode: ${by}, and the mode is ${mode}: set the mode, or leave access.${by} out`,
    because: ['mode'],
  }))
  return { ok: false, problems }
}

/** Which mode is meant by settings of it, if the mode is not said. */
function meantBy([first, second, third]: readonly Used[]): ReadMode {
  if (first === undefined) return { ok: true, mode: 'open', saidBy: 'mode' }
  if (second === undefined) return { ok: true, mode: first.by, saidBy: first.path }
  const also = third === undefined ? '' : `, and access.${third.path} for the mode ${third.by}`
  const problem = `is for the mode ${second.by}, but access.${first.path} is for the mode ${first.by}${also}: set access.mode, and leave what is for another mode out`
  return { ok: false, problems: [{ path: second.path, problem, because: ['mode'] }] }
}

type ReadKeys = { ok: true; keys: TokenKeys } | { ok: false; problems: SettingProblem[] }

const SOURCES = 'access.token.secret, access.token.publicKey and access.token.jwks'

function readTokenKeys(token: AccessConfig['token'], meant: MeantMode): ReadKeys {
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
    problems.push(lacking(meant, `one of ${SOURCES}`))
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

function readWebhook(webhook: AccessConfig['webhook'], meant: MeantMode): ReadWebhook {
  const { url, allowPrivate } = webhook
  if (url === null) return { ok: false, problems: [lacking(meant, 'access.webhook.url')] }
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
