/** The address of Redis from the operator's URL. */
export type RedisAddress = {
  username?: string
  password?: string
  tls: boolean
} & (
  | { topology: 'standalone'; host: string; port: number; database: number }
  | { topology: 'sentinel'; sentinels: Endpoint[]; name: string; database: number }
  | { topology: 'cluster'; nodes: Endpoint[] }
)

export interface Endpoint {
  host: string
  port: number
}

const REDIS_PORT = 6379
const SENTINEL_PORT = 26_379
const SCHEMES: Record<string, { topology: RedisAddress['topology']; tls: boolean }> = {
  redis: { topology: 'standalone', tls: false },
  rediss: { topology: 'standalone', tls: true },
  'redis+sentinel': { topology: 'sentinel', tls: false },
  'rediss+sentinel': { topology: 'sentinel', tls: true },
  'redis+cluster': { topology: 'cluster', tls: false },
  'rediss+cluster': { topology: 'cluster', tls: true },
}

/**
 * Reads `redis://[user:password@]host[:port][/database]`, `redis+sentinel://host,host/master-name[/database]` and
 * `redis+cluster://host,host`, each also with `rediss` for TLS. A problem never contains the password.
 */
export function parseRedisUrl(
  url: string,
): { ok: true; address: RedisAddress } | { ok: false; problem: string } {
  const parts = /^([a-z+]+):\/\/(?:([^@/]*)@)?([^/?#]*)((?:\/[^/?#]*)*)$/u.exec(url)
  if (!parts) return problem(`must look like redis://user:password@host:port/database${meant(url)}`)
  const [, scheme = '', login, hosts = '', path = ''] = parts
  const kind = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined
  if (!kind) return problem(`scheme must be one of ${Object.keys(SCHEMES).join(', ')}`)
  const credentials = readCredentials(login)
  if (!credentials) return problem('user or password has a broken percent escape')
  const endpoints = readEndpoints(hosts, kind.topology === 'sentinel' ? SENTINEL_PORT : REDIS_PORT)
  if (!endpoints) return problem('hosts must be host or host:port, separated by commas')
  const words = path.split('/').filter((word) => word !== '')
  const common = { ...credentials, tls: kind.tls }
  switch (kind.topology) {
    case 'standalone': {
      const [endpoint] = endpoints
      const database = readDatabase(words[0])
      if (!endpoint || endpoints.length > 1)
        return problem('takes one host; for several use redis+sentinel or redis+cluster')
      if (database === undefined || words.length > 1) return problem('path must be a database number')
      return { ok: true, address: { ...common, topology: 'standalone', ...endpoint, database } }
    }
    case 'sentinel': {
      const [name, databaseWord, ...rest] = words
      const database = readDatabase(databaseWord)
      if (name === undefined)
        return problem('path must name the master, as in redis+sentinel://host/mymaster')
      if (database === undefined || rest.length > 0)
        return problem('path must be a master name, optionally with a database number')
      return { ok: true, address: { ...common, topology: 'sentinel', sentinels: endpoints, name, database } }
    }
    case 'cluster':
      if (words.length > 0) return problem('a Redis Cluster has no databases: leave the path out')
      return { ok: true, address: { ...common, topology: 'cluster', nodes: endpoints } }
  }
}

/** `localhost:6379` lacks only its scheme. A text that may hold a password is not repeated. */
function meant(url: string): string {
  const [hosts = ''] = url.split('/')
  const isAddress =
    /^[\w.[\]:-]+:\d+(?:\/\d{1,5})?$/u.test(url) && readEndpoints(hosts, REDIS_PORT) !== undefined
  return isAddress ? `; did you mean redis://${url}?` : ''
}

function problem(text: string): { ok: false; problem: string } {
  return { ok: false, problem: text }
}

function readCredentials(login: string | undefined): { username?: string; password?: string } | undefined {
  if (login === undefined || login === '') return {}
  const colon = login.indexOf(':')
  const name = decode(colon < 0 ? login : login.slice(0, colon))
  const password = colon < 0 ? '' : decode(login.slice(colon + 1))
  if (name === undefined || password === undefined) return undefined
  return { ...(name === '' ? {} : { username: name }), ...(password === '' ? {} : { password }) }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

function readEndpoints(hosts: string, defaultPort: number): Endpoint[] | undefined {
  const endpoints: Endpoint[] = []
  for (const text of hosts.split(',')) {
    const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/u.exec(text)
    const host = parts?.[1] ?? parts?.[2]
    const port = parts?.[3] === undefined ? defaultPort : Number(parts[3])
    if (host === undefined || port < 1 || port > 65_535) return undefined
    endpoints.push({ host, port })
  }
  return endpoints
}

function readDatabase(word: string | undefined): number | undefined {
  if (word === undefined) return 0
  return /^\d{1,5}$/u.test(word) ? Number(word) : undefined
}
