import { checkTimes } from '@peerage/core'
import { parseHostPort } from '@peerage/protocol'
import { checkPrefix, parseRedisUrl } from '@peerage/redis'
import { checkApps } from './check-apps.js'
import { checkTurn } from './check-turn.js'
import { isEveryAddress, isPrivate } from './hosts.js'
import { define, type SettingProblem } from './load.js'
import { configSchema, defaultConfig, type Config } from './schema.js'

/**
 * Checks the rules between settings, which no single setting can show. `hasStore`: whether there is a store that several
 * nodes can share.
 */
export function checkConfig(config: Config, hasStore = config.redis.url !== null): SettingProblem[] {
  return [
    ...checkTimes(config.times).map(({ path, problem }) => ({ path: `times.${path}`, problem })),
    ...checkRedis(config.redis),
    ...checkPorts(config),
    ...checkLinks(config.links, hasStore),
    ...pair(config.tls, 'tls', 'cert', 'key'),
    ...pair(config.redis, 'redis', 'cert', 'key'),
    ...checkTurn(config.p2p.turn, 'p2p.turn'),
    ...checkApps(config),
  ]
}

function checkRedis({ url, prefix }: Config['redis']): SettingProblem[] {
  const problems: SettingProblem[] = []
  const parsed = url === null ? undefined : parseRedisUrl(url)
  if (parsed?.ok === false) problems.push({ path: 'redis.url', problem: parsed.problem })
  const wrongPrefix = checkPrefix(prefix)
  if (wrongPrefix !== undefined) problems.push({ path: 'redis.prefix', problem: wrongPrefix })
  return problems
}

function checkPorts({ port, admin, links, p2p, api }: Config): SettingProblem[] {
  const problems: SettingProblem[] = []
  const differ = (path: string, from: string, taken: number): void =>
    void problems.push({ path, problem: `must differ from ${from} (${taken})` })
  if (port === 65_535 && p2p.useAsP2PServer)
    problems.push({ path: 'port', problem: 'must be below 65535: the P2P server uses the next port' })
  if (port !== 0 && admin.port === port) differ('admin.port', 'port', port)
  if (links.port !== 0 && links.port === port) differ('links.port', 'port', port)
  if (links.port !== 0 && links.port === admin.port) differ('links.port', 'admin.port', links.port)
  const others = { port, 'admin.port': admin.port, 'links.port': links.port }
  for (const [path, taken] of Object.entries(others))
    if (api.port !== null && api.port !== 0 && api.port === taken) differ('api.port', path, taken)
  return problems
}

function checkLinks(links: Config['links'], hasStore: boolean): SettingProblem[] {
  if (links.host === null) {
    const set = (['port', 'advertise', 'most', 'plain'] as const).filter(
      (key) => links[key] !== defaultConfig.links[key],
    )
    return set.map((key) => ({
      path: `links.${key}`,
      problem: 'needs links.host: without it there are no links',
    }))
  }
  const problems: SettingProblem[] = []
  if (!hasStore)
    problems.push({
      path: 'links.host',
      problem: 'needs redis.url: without Redis there are no other nodes to link to',
    })
  const advertised = parseHostPort(links.advertise)?.host
  if (links.plain) problems.push(...checkPlain({ 'links.host': links.host, 'links.advertise': advertised }))
  if (advertised !== undefined && isEveryAddress(advertised))
    problems.push({
      path: 'links.advertise',
      problem: `must be an address that the other nodes can connect to, and ${advertised} is not`,
    })
  return problems
}

/** Links without TLS need a network without strangers. Only an address can show that, so names are refused. */
function checkPlain(hosts: Readonly<Record<string, string | undefined>>): SettingProblem[] {
  return Object.entries(hosts).flatMap(([setting, host]) => {
    if (host === undefined || isPrivate(host)) return []
    const problem = `needs a private IP address in ${setting}: ${host} may be reachable from outside, and without TLS others could read the messages and pose as a node. Set the private address, or leave links.plain out`
    return [{ path: 'links.plain', problem }]
  })
}

function pair<K extends string>(
  section: Record<K, string | null>,
  name: string,
  a: K,
  b: K,
): SettingProblem[] {
  if ((section[a] === null) === (section[b] === null)) return []
  const [there, missing] = section[a] === null ? [b, a] : [a, b]
  return [{ path: `${name}.${there}`, problem: `needs ${name}.${missing} as well` }]
}

/** The settings of a node, and the rules between them. */
export const nodeDefinition = define(configSchema, 'PEERAGE_', checkConfig)
