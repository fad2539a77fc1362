import { patient, registryProperty } from '@peerage/core/testing'
import { afterAll, beforeAll } from 'vitest'
import { startRedis, type RedisServer } from '../support/redis.js'
import type { Store } from './redis-store.js'
import { redisContractCluster, standaloneStore } from './redis-store.js'

let server: RedisServer
let store: Store
beforeAll(async () => {
  server = await startRedis()
  store = standaloneStore(server.url)
})
afterAll(async () => {
  await store.close()
  await server.stop()
})

// Many short histories in which nothing ends by itself.
registryProperty('Redis', (pace) => redisContractCluster(store, pace), {
  runs: 60,
  steps: 40,
  pace: patient,
  clockSteps: false,
})
