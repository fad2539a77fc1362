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
import { startSentinel, type SentinelSetup } from '../support/redis-sentinel.js'
import type { Store } from './redis-store.js'
import { sentinelStore, redisContractCluster } from './redis-store.js'

let servers: SentinelSetup
let store: Store
beforeAll(async () => {
  servers = await startSentinel()
  store = await sentinelStore(servers)
})
afterAll(async () => {
  await store.close()
  await servers.stop()
})

registryContract('Redis Sentinel', (pace) => redisContractCluster(store, pace))
nodesContract('Redis Sentinel', (pace) => redisContractCluster(store, pace))
busContract('Redis Sentinel', (pace) => redisContractCluster(store, pace))
mailboxContract('Redis Sentinel', (pace) => redisContractCluster(store, pace))
presenceContract('Redis Sentinel', (pace) => redisContractCluster(store, pace))
roomsContract('Redis Sentinel', (pace) => redisContractCluster(store, pace))
registryProperty('Redis Sentinel', (pace) => redisContractCluster(store, pace), {
  runs: 15,
  steps: 30,
  pace: patient,
  clockSteps: false,
})
