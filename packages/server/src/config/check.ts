import { checkTimes } from '@peerage/core'
import { isIP } from 'node:net'
import { parseHostPort } from '@peerage/protocol'
import { checkPrefix, parseRedisUrl } from '@peerage/redis'
import ipaddr from 'ipaddr.js'
import { define, type Misfit } from './load.js'
import { configSchema, type Config } from './schema.js'

/** True for an address that only this machine can reach. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  return isIP(host) !== 0 && ipaddr.process(host).range() === 'loopback'
}

/** Networks that nobody routes to from outside. */
const PRIVATE_RANGES = ['private', 'loopback', 'linkLocal', 'carrierGradeNat', 'uniqueLocal']

/** False for an address that is public, or that stands for every address. A name may be anything. */
function mayBePrivate(host: string): boolean {
  return isIP(host) === 0 || PRIVATE_RANGES.includes(ipaddr.process(host).range())
}

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
  if (port === 65_535 && p2p.useAsP2PServer)
    misfits.push({ path: 'port', problem: 'must be below 65535: the P2P server takes the next one' })
  if (port !== 0 && admin.port === port)
    misfits.push({ path: 'admin.port', problem: 'must differ from port' })
  if (links.port !== 0 && links.port === port)
    misfits.push({ path: 'links.port', problem: 'must differ from port' })
  if (links.port !== 0 && links.port === admin.port)
    misfits.push({ path: 'links.port', problem: 'must differ from admin.port' })
  return misfits
}

function checkLinks({ host, port, advertise, plain }: Config['links'], hasStore: boolean): Misfit[] {
  if (host === null) {
    const set = [port === 0 ? '' : 'port', advertise === null ? '' : 'advertise', plain ? 'plain' : '']
    return set
      .filter((key) => key !== '')
      .map((key) => ({ path: `links.${key}`, problem: 'needs links.host: without it there are no links' }))
  }
  const misfits: Misfit[] = []
  if (!hasStore)
    misfits.push({
      path: 'links.host',
      problem: 'needs redis.url: a node without Redis is alone, and has nobody to link to',
    })
  if (plain && !mayBePrivate(host))
    misfits.push({
      path: 'links.plain',
      problem: `needs a private address in links.host: ${host} may be reached from outside, and without TLS others could read the messages and pose as a node. Name the private address, or leave links.plain out`,
    })
  const told = advertise === null ? undefined : parseHostPort(advertise)?.host
  if (told !== undefined && isIP(told) !== 0 && ipaddr.process(told).range() === 'unspecified')
    misfits.push({
      path: 'links.advertise',
      problem: `must be an address that the other nodes can connect to: ${told} is none`,
    })
  return misfits
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
