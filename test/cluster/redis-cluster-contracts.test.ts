import {
  busContract,
  mailboxContract,
  nodesContract,
  patient,
  presenceContract,
  registryContract,
  registryProperty,
  roomsContract,
} from '@peerage/core/testing'
import { afterAll, beforeAll } from 'vitest'
import { startRedisCluster, type RedisCluster } from '../support/redis-cluster.js'
import type { Store } from './redis-store.js'
import { clusterStore, redisContractCluster } from './redis-store.js'

let servers: RedisCluster
let store: Store
beforeAll(async () => {
  servers = await startRedisCluster()
  store = await clusterStore(servers)
})
afterAll(async () => {
  await store.close()
  await servers.stop()
})

registryContract('Redis Cluster', (pace) => redisContractCluster(store, pace))
nodesContract('Redis Cluster', (pace) => redisContractCluster(store, pace))
busContract('Redis Cluster', (pace) => redisContractCluster(store, pace))
mailboxContract('Redis Cluster', (pace) => redisContractCluster(store, pace))
presenceContract('Redis Cluster', (pace) => redisContractCluster(store, pace))
roomsContract('Redis Cluster', (pace) => redisContractCluster(store, pace))
registryProperty('Redis Cluster', (pace) => redisContractCluster(store, pace), {
  runs: 15,
  steps: 30,
  pace: patient,
  clockSteps: false,
})
