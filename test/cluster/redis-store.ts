import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '@peerage/core'
import { systemClock } from '@peerage/core'
import type { ContractCluster, Pace } from '@peerage/core/testing'
import { joinWith } from '@peerage/core/testing'
import type { RedisBackend, RedisBackendOptions } from '@peerage/redis'
import { createRedisBackend } from '@peerage/redis'
import { Cluster, Redis } from 'ioredis'
import type { RedisCluster } from '../support/redis-cluster.js'
import type { SentinelSetup } from '../support/redis-sentinel.js'

/** One Redis server, or a Cluster or Sentinel group, as the contract suites see it. */
export interface Store {
  url: string
  flush(): Promise<void>
  publishRaw(channel: string, payload: string): Promise<void>
  close(): Promise<void>
}

let prefixes = 0

/** A contract cluster on a real store, under a prefix of its own. */
export async function redisContractCluster(
  store: Store,
  pace: Pace,
  options: Partial<RedisBackendOptions> = {},
): Promise<ContractCluster & { prefix: string; backends: RedisBackend[] }> {
  const prefix = `t${prefixes++}:`
  const backends: RedisBackend[] = []
  let jumped = 0
  const clock: Clock = { ...systemClock, now: () => Date.now() + jumped }
  const backend: ContractCluster['backend'] = async (onError, onEvent) => {
    const made = createRedisBackend({
      url: store.url,
      prefix,
      ...pace,
      clock,
      onError,
      ...options,
    })
    backends.push(made)
    await made.start(onEvent)
    return made
  }
  return {
    times: pace.times,
    prefix,
    backends,
    backend,
    join: () => joinWith(backend),
    pass: (ms) => delay(ms),
    now: () => performance.now(),
    jump: (ms) => {
      jumped += ms
    },
    flush: () => store.flush(),
    publishRaw: (node, payload) => store.publishRaw(`${prefix}inbox:${node}`, payload),
    stop: async () => {
      for (const made of backends) await made.stop()
    },
  }
}

/** A second client, for what no backend of ours would do. */
export function standaloneStore(url: string): Store & { client: Redis } {
  const client = new Redis(url)
  return {
    url,
    client,
    flush: async () => void (await client.flushall()),
    publishRaw: async (channel, payload) => void (await client.spublish(channel, payload)),
    close: async () => void (await client.quit()),
  }
}

/** A Redis Cluster: what is flushed is flushed on every master. */
export async function clusterStore(cluster: RedisCluster): Promise<Store> {
  const client = new Cluster([...cluster.seeds])
  client.on('error', () => undefined)
  await client.ping()
  return {
    url: cluster.url,
    flush: async () => {
      for (const { server } of await cluster.masters()) await server.cli('FLUSHALL')
    },
    publishRaw: async (channel, payload) => void (await client.spublish(channel, payload)),
    close: async () => void (await client.quit()),
  }
}

/** Whom the sentinels take for the master. */
export async function sentinelStore(setup: SentinelSetup): Promise<Store> {
  const store = standaloneStore((await setup.master()).url)
  return { ...store, url: setup.url }
}
