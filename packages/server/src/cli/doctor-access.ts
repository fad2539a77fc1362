import type { App } from '@peerage/protocol'
import type { Algorithm } from '../access/app-access.js'
import { fetchKeySet, withoutSecrets } from '../access/jwks.js'
import { locate, type Address, type Outbound } from '../access/outbound.js'
import { listedApps, settingsOf, type AppSettings } from '../config/app-settings.js'
import { isLoopback } from '../config/hosts.js'
import type { Config } from '../config/schema.js'
import { reasonOf } from '../lib/reason.js'
import type { Finding } from './doctor-checks.js'

/** How many servers are asked at the same time. */
const AT_ONCE = 8
/** How many apps a line names. */
const NAMED_APPS = 10
/** The permission to read of those who are neither the owner nor in the group of a file. */
const OTHERS_READ = 0o004

/** The apps whose settings are known: those that are listed, or else the default app. */
function appsOf(config: Config): App[] {
  const listed = listedApps(config)
  return listed.length === 0 ? [config.defaultApp] : listed
}

/** Who may come in to which app. Apps with the same rule share a line. */
export function checkEntrance(config: Config): Finding[] {
  const subject = 'entrance'
  const isListed = listedApps(config).length > 0
  const byRule = grouped(appsOf(config), (app) => ruleOf(settingsOf(config, app)))
  return [...byRule].map(([rule, apps]): Finding => {
    const of = isListed ? `${named(apps)}: ` : ''
    if (rule !== '') return { verdict: 'ok', subject, text: `${of}${rule}` }
    if (isLoopback(config.host)) return { verdict: 'ok', subject, text: `${of}only this machine` }
    const advice = isListed ? 'set access or origins of the app' : 'set access.key or origins'
    const text = `${of}open: everybody who reaches ${config.host} may claim names; ${advice}`
    return { verdict: 'warn', subject, text }
  })
}

/** Empty: everybody may come in. */
function ruleOf({ access, origins }: AppSettings): string {
  const pages = origins.length === 0 ? '' : `only pages of ${origins.join(', ')}`
  return [RULES[access.mode], pages].filter((rule) => rule !== '').join('; ')
}

const RULES = {
  open: '',
  key: 'a shared key',
  token: 'a signed token',
  webhook: 'a webhook decides',
} as const

/**
 * Asks the servers that decide about access, as a node would: each JWKS is fetched once. Webhooks are not called, because
 * a call would be about a peer that does not exist. Only their addresses are looked up.
 */
export async function checkAccess(
  config: Config,
  { outbound, lookup }: { outbound: Outbound; lookup?: (host: string) => Promise<Address[]> },
): Promise<Finding[]> {
  const asked = grouped(appsOf(config), (app) => {
    const asks = askedBy(settingsOf(config, app))
    return asks === undefined ? undefined : JSON.stringify(asks)
  })
  const checks = [...asked.values()].map((apps) => async (): Promise<Finding | undefined> => {
    const [first = config.defaultApp] = apps
    const asks = askedBy(settingsOf(config, first))
    switch (asks?.type) {
      case 'jwks':
        return checkJwks(named(apps), asks, outbound)
      case 'webhook':
        return checkWebhook(named(apps), asks, lookup)
      case undefined:
        return undefined
    }
  })
  const findings: Finding[] = []
  for (let i = 0; i < checks.length; i += AT_ONCE) {
    const some = await Promise.all(checks.slice(i, i + AT_ONCE).map((check) => check()))
    findings.push(...some.filter((finding) => finding !== undefined))
  }
  return findings
}

type Asked = { url: string; allowPrivate: boolean }
type AskedKeys = Asked & { type: 'jwks'; algorithms: readonly Algorithm[] }

/** The server that decides about access. Undefined: the node decides alone. */
function askedBy({ access }: AppSettings): AskedKeys | (Asked & { type: 'webhook' }) | undefined {
  if (access.mode === 'webhook') {
    const { url, allowPrivate } = access.webhook
    return { type: 'webhook', url, allowPrivate }
  }
  if (access.mode !== 'token' || access.token.keys.type !== 'jwks') return undefined
  return { ...access.token.keys, algorithms: access.token.algorithms }
}

async function checkJwks(apps: string, asked: AskedKeys, outbound: Outbound): Promise<Finding> {
  const subject = 'access'
  const { url, allowPrivate, algorithms } = asked
  const at = `${apps}: the JWKS at ${withoutSecrets(url)}`
  const read = await fetchKeySet({ url, allowPrivate, outbound })
  if (!read.ok) {
    const advice =
      'until it can be fetched, nobody can come in; check access.token.jwks, and the network from here'
    return { verdict: 'fail', subject, text: `${at} ${read.problem}: ${advice}` }
  }
  const wanted = algorithms.join(' or ')
  const fitting = read.keys.filter((key) => key.algorithms.some((one) => algorithms.includes(one)))
  if (fitting.length > 0)
    return { verdict: 'ok', subject, text: `${at} has ${counted(fitting.length)} for ${wanted}` }
  if (read.keys.length === 0)
    return { verdict: 'fail', subject, text: `${at} is empty: nobody can come in until it has a key` }
  const others = [...new Set(read.keys.flatMap((key) => key.algorithms))].join(', ')
  const text = `${at} has no key for ${wanted}, but ${counted(read.keys.length)} for ${others}: check access.token.algorithms`
  return { verdict: 'fail', subject, text }
}

const counted = (keys: number): string => (keys === 1 ? '1 key' : `${keys} keys`)

async function checkWebhook(
  apps: string,
  { url, allowPrivate }: Asked,
  lookup: ((host: string) => Promise<Address[]>) | undefined,
): Promise<Finding> {
  const subject = 'access'
  const at = `${apps}: the webhook at ${withoutSecrets(url)}`
  const located = await locate(new URL(url), allowPrivate, lookup)
  if (located.ok) {
    const addresses = located.addresses.map(({ address }) => address).join(', ')
    return { verdict: 'ok', subject, text: `${at} leads to ${addresses} (it was not called)` }
  }
  const advice =
    located.cause === 'address'
      ? 'if that is meant, set access.webhook.allowPrivate'
      : 'check access.webhook.url, and the name servers of this machine'
  return { verdict: 'fail', subject, text: `${at} ${located.problem}: ${advice}` }
}

/**
 * Whether others on this machine may read the secrets of the node. `secretFiles`: those of the configuration, which were
 * read. `modeOf`: the permissions of a file. It throws the error of the file system.
 */
export function checkSecretFiles(
  { tls, redis }: Config,
  secretFiles: readonly string[],
  modeOf: (path: string) => number,
): Finding[] {
  const subject = 'secrets'
  const keys = [tls.key, redis.key].filter((path) => path !== null)
  const files = [...new Set([...secretFiles, ...keys])]
  const findings: Finding[] = []
  for (const file of files) {
    try {
      if ((modeOf(file) & OTHERS_READ) === 0) continue
      const text = `${file} can be read by every account of this machine: run chmod o-r on it, unless this is a container with one account`
      findings.push({ verdict: 'warn', subject, text })
    } catch (error) {
      const text = `${file} cannot be read: ${reasonOf(error)}; check that it exists, and who may read it`
      findings.push({ verdict: 'fail', subject, text })
    }
  }
  if (files.length === 0 || findings.length > 0) return findings
  const which = files.length === 1 ? 'the file of a secret' : `the ${files.length} files of secrets`
  return [{ verdict: 'ok', subject, text: `other accounts of this machine cannot read ${which}` }]
}

/** Apps by what they have in common. Those without it are left out. */
function grouped<K>(apps: readonly App[], keyOf: (app: App) => K | undefined): Map<K, App[]> {
  const groups = new Map<K, App[]>()
  for (const app of apps) {
    const key = keyOf(app)
    if (key === undefined) continue
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [app])
    else group.push(app)
  }
  return groups
}

function named(apps: readonly App[]): string {
  const more = apps.length - NAMED_APPS
  const names = apps.slice(0, NAMED_APPS).join(', ')
  return more > 0 ? `${names} and ${more} more` : names
}
