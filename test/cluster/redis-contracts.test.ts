import {
  busContract,
  mailboxContract,
  nodesContract,
  presenceContract,
  registryContract,
} from '@peerage/core/testing'
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

registryContract('Redis', () => redisContractCluster(store))
nodesContract('Redis', () => redisContractCluster(store))
busContract('Redis', () => redisContractCluster(store))
mailboxContract('Redis', () => redisContractCluster(store))
presenceContract('Redis', () => redisContractCluster(store))
