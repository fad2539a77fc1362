import { startRedisCluster, type ClusterOptions } from './redis-cluster.js'
import { startRedis, type RedisOptions, type RedisServer } from './redis.js'
import { startSentinel, type SentinelOptions } from './redis-sentinel.js'

/** The ways to run Redis. The promises of a cluster of nodes must hold on each. */
export const topologies = ['standalone', 'sentinel', 'cluster'] as const
export type Topology = (typeof topologies)[number]

/** Redis in one of its topologies, for tests that work with any. */
export interface Deployment {
  readonly topology: Topology
  /** The value of `--redis`. */
  readonly url: string
  /** Runs one command at the master that serves a key or a sharded channel. */
  at(key: string, ...command: readonly string[]): Promise<string>
  /** Runs one command at every master and returns the answers. */
  everywhere(...command: readonly string[]): Promise<string[]>
  /** All matching keys, sorted. */
  keys(pattern?: string): Promise<string[]>
  /** Deletes all keys. */
  flush(): Promise<void>
  /** Sends SIGSTOP (SIGCONT) to all servers at once, so that none takes over from another. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Sends SIGKILL to all servers; sentinels keep running. */
  kill(): Promise<void>
  /** Starts all servers again without keys. Resolves when they serve all keys. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export interface TopologyOptions {
  /** Options for every server. */
  redis?: Pick<RedisOptions, 'config' | 'args' | 'acl' | 'login' | 'tls'>
  /** How long a server may be silent before the others act; by default that of each topology. */
  silenceMs?: number
}

/** Starts the smallest deployment of a topology in which a master has a replica, if the topology has replicas. */
export async function startTopology(topology: Topology, options: TopologyOptions = {}): Promise<Deployment> {
  const { redis = {}, silenceMs } = options
  switch (topology) {
    case 'standalone':
      return standalone(await startRedis(redis))
    case 'sentinel':
      return sentinel({ redis, ...(silenceMs === undefined ? {} : { downAfterMs: silenceMs }) })
    case 'cluster':
      return cluster({ redis }, silenceMs)
  }
}

function standalone(server: RedisServer): Deployment {
  return deployment({
    topology: 'standalone',
    url: server.url,
    servers: [server],
    masters: () => Promise.resolve([server]),
    owner: () => Promise.resolve(server),
    whole: () => Promise.resolve(),
    stop: () => server.stop(),
  })
}

async function sentinel(options: SentinelOptions): Promise<Deployment> {
  const setup = await startSentinel(options)
  return deployment({
    topology: 'sentinel',
    url: setup.url,
    servers: setup.servers,
    masters: async () => [await setup.master()],
    owner: () => setup.master(),
    whole: () => setup.master(),
    stop: () => setup.stop(),
  })
}

async function cluster(options: ClusterOptions, silenceMs?: number): Promise<Deployment> {
  const setup = await startRedisCluster(options)
  // The timeout is not set at the start, because with a long timeout the members take long to find each other.
  const setNodeTimeout = async (): Promise<void> => {
    if (silenceMs === undefined) return
    const command = ['CONFIG', 'SET', 'cluster-node-timeout', String(silenceMs)]
    await Promise.all(setup.nodes.map(({ server }) => server.cli(...command)))
  }
  await setNodeTimeout()
  return deployment({
    topology: 'cluster',
    url: setup.url,
    servers: setup.nodes.map(({ server }) => server),
    masters: async () => (await setup.masters()).map(({ server }) => server),
    owner: async (key) => (await setup.owner(await setup.slot(key))).server,
    whole: async () => {
      await setup.whole()
      await setNodeTimeout()
    },
    stop: () => setup.stop(),
  })
}

interface Servers extends Pick<Deployment, 'topology' | 'url' | 'stop'> {
  servers: readonly RedisServer[]
  masters: () => Promise<readonly RedisServer[]>
  owner: (key: string) => Promise<RedisServer>
  /** Resolves when every master takes writes. */
  whole: () => Promise<unknown>
}

function deployment({ servers, masters, owner, whole, ...told }: Servers): Deployment {
  const everywhere = async (...command: readonly string[]): Promise<string[]> =>
    Promise.all((await masters()).map((server) => server.cli(...command)))
  return {
    ...told,
    everywhere,
    at: async (key, ...command) => (await owner(key)).cli(...command),
    keys: async (pattern = '*') => {
      const found = await everywhere('KEYS', pattern)
      return found.flatMap((lines) => (lines === '' ? [] : lines.split('\n'))).toSorted()
    },
    flush: async () => void (await everywhere('FLUSHALL')),
    pause: async () => void (await Promise.all(servers.map((server) => server.pause()))),
    resume: async () => void (await Promise.all(servers.map((server) => server.resume()))),
    kill: async () => void (await Promise.all(servers.map((server) => server.kill()))),
    restart: async () => {
      await Promise.all(servers.map((server) => server.restart()))
      await whole()
    },
  }
}
