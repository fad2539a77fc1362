import { setTimeout as delay } from 'node:timers/promises'
import type { Backend, Clock, OnError } from '@peerage/core'
import { systemClock } from '@peerage/core'
import type { ContractCluster, Pace } from '@peerage/test-support/testing/core.js'
import { joinWith } from '@peerage/test-support/testing/core.js'
import type { RedisBackend, RedisBackendOptions } from '@peerage/redis'
import { createRedisBackend } from '@peerage/redis'
import type { Deployment } from '@peerage/test-support/redis-topologies.js'

let prefixes = 0

/** A cluster for the contract suites on a real Redis, with its own prefix. */
export async function redisContractCluster(
  redis: Deployment,
  pace: Pace,
  options: Partial<RedisBackendOptions> = {},
  wrap: (backend: RedisBackend, onError: OnError) => Backend = (backend) => backend,
): Promise<ContractCluster> {
  const prefix = `t${prefixes++}:`
  const backends: Backend[] = []
  let jumped = 0
  const clock: Clock = { ...systemClock, now: () => Date.now() + jumped }
  const backend: ContractCluster['backend'] = async (onError, onEvent) => {
    const made = wrap(
      createRedisBackend({ url: redis.url, prefix, ...pace, clock, onError, ...options }),
      onError,
    )
    backends.push(made)
    await made.start(onEvent)
    return made
  }
  return {
    times: pace.times,
    backend,
    join: () => joinWith(backend),
    pass: (ms) => delay(ms),
    now: () => performance.now(),
    slackMs: 20,
    jump: (ms) => {
      jumped += ms
    },
    flush: () => redis.flush(),
    publishRaw: async (node, payload) => {
      const channel = `${prefix}inbox:${node}`
      await redis.at(channel, 'SPUBLISH', channel, payload)
    },
    stop: async () => {
      for (const made of backends) await made.stop()
    },
  }
}
