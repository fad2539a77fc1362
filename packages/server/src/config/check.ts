import { checkTimes } from '@peerage/core'
import { parseHostPort } from '@peerage/protocol'
import { checkPrefix, parseRedisUrl } from '@peerage/redis'
import { isEveryAddress, isLoopback, isPrivate } from './hosts.js'
import { define, type Misfit } from './load.js'
import { configSchema, defaultConfig, type Config } from './schema.js'

/**
 * How settings fit together: what no single one can tell. `hasStore`: whether there is a store that several nodes can
 * share.
 */
export function checkConfig(config: Config, hasStore = config.redis.url !== null): Misfit[] {
  return [
    ...checkTimes(config.times).map(({ path, problem }) => ({ path: `times.${path}`, problem })),
    ...checkReach(config),
    ...checkRedis(config.redis),
    ...checkPorts(config),
    ...checkLinks(config.links, hasStore),
    ...pair(config.tls, 'tls', 'cert', 'key'),
    ...pair(config.redis, 'redis', 'cert', 'key'),
    ...checkTurn(config.p2p.turn),
    ...checkApps(config.apps),
  ]
}

function checkReach(config: Config): Misfit[] {
  const ruled = config.access.key !== null || config.origins.length > 0
  if (config.open || ruled || isLoopback(config.host)) return []
  const problem =
    'is beyond loopback and nothing says who may come in: set access.key or origins, or say --open if anybody may'
  return [{ path: 'host', problem }]
}

function checkRedis({ url, prefix }: Config['redis']): Misfit[] {
  const misfits: Misfit[] = []
  const parsed = url === null ? undefined : parseRedisUrl(url)
  if (parsed?.ok === false) misfits.push({ path: 'redis.url', problem: parsed.problem })
  const wrongPrefix = checkPrefix(prefix)
  if (wrongPrefix !== undefined) misfits.push({ path: 'redis.prefix', problem: wrongPrefix })
  return misfits
}

function checkPorts({ port, admin, links, p2p }: Config): Misfit[] {
  const misfits: Misfit[] = []
  const differ = (path: string, from: string, taken: number): void =>
    void misfits.push({ path, problem: `must differ from ${from} (${taken})` })
  if (port === 65_535 && p2p.useAsP2PServer)
    misfits.push({ path: 'port', problem: 'must be below 65535: the P2P server takes the next one' })
  if (port !== 0 && admin.port === port) differ('admin.port', 'port', port)
  if (links.port !== 0 && links.port === port) differ('links.port', 'port', port)
  if (links.port !== 0 && links.port === admin.port) differ('links.port', 'admin.port', links.port)
  return misfits
}

function checkLinks(links: Config['links'], hasStore: boolean): Misfit[] {
  if (links.host === null) {
    const set = (['port', 'advertise', 'most', 'plain'] as const).filter(
      (key) => links[key] !== defaultConfig.links[key],
    )
    return set.map((key) => ({
      path: `links.${key}`,
      problem: 'needs links.host: without it there are no links',
    }))
  }
  const misfits: Misfit[] = []
  if (!hasStore)
    misfits.push({
      path: 'links.host',
      problem: 'needs redis.url: a node without Redis is alone, and has nobody to link to',
    })
  const told = parseHostPort(links.advertise)?.host
  if (links.plain) misfits.push(...checkPlain({ 'links.host': links.host, 'links.advertise': told }))
  if (told !== undefined && isEveryAddress(told))
    misfits.push({
      path: 'links.advertise',
      problem: `must be an address that the other nodes can connect to: ${told} is none`,
    })
  return misfits
}

/** Without TLS there must be nobody else in the network. What only an address shows is looked at. */
function checkPlain(hosts: Readonly<Record<string, string | undefined>>): Misfit[] {
  return Object.entries(hosts).flatMap(([setting, host]) => {
    if (host === undefined || isPrivate(host)) return []
    const problem = `needs a private IP address in ${setting}: ${host} may be reached from outside, and without TLS others could read the messages and pose as a node. Name the private address, or leave links.plain out`
    return [{ path: 'links.plain', problem }]
  })
}

function pair<K extends string>(section: Record<K, string | null>, name: string, a: K, b: K): Misfit[] {
  if ((section[a] === null) === (section[b] === null)) return []
  const [there, missing] = section[a] === null ? [b, a] : [a, b]
  return [{ path: `${name}.${there}`, problem: `needs ${name}.${missing} beside it` }]
}

function checkTurn(turn: Config['p2p']['turn']): Misfit[] {
  const misfits: Misfit[] = []
  if (turn.urls.length > 0 && turn.secret === null)
    misfits.push({
      path: 'p2p.turn.urls',
      problem: 'needs p2p.turn.secret: the static-auth-secret of these servers',
    })
  if (turn.secret !== null && turn.urls.length === 0)
    misfits.push({ path: 'p2p.turn.secret', problem: 'needs p2p.turn.urls: the servers that know it' })
  if (turn.previousSecret !== null && turn.secret === null)
    misfits.push({ path: 'p2p.turn.previousSecret', problem: 'needs p2p.turn.secret, which replaces it' })
  return misfits
}

function checkApps(apps: Config['apps']): Misfit[] {
  if (apps.allow.length === 0 || apps.allow.includes(apps.default)) return []
  return [{ path: 'apps.default', problem: `must be one of apps.allow (${apps.allow.join(', ')})` }]
}

/** A node: what it can be told, and how that fits together. */
export const nodeDefinition = define(configSchema, 'PEERAGE_', checkConfig)
