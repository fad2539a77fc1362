import {
  busContract,
  mailboxContract,
  nodesContract,
  presenceContract,
  registryContract,
  roomsContract,
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

registryContract('Redis', (pace) => redisContractCluster(store, pace))
nodesContract('Redis', (pace) => redisContractCluster(store, pace))
busContract('Redis', (pace) => redisContractCluster(store, pace))
mailboxContract('Redis', (pace) => redisContractCluster(store, pace))
presenceContract('Redis', (pace) => redisContractCluster(store, pace))
roomsContract('Redis', (pace) => redisContractCluster(store, pace))
