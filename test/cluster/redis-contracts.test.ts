import type { MakeCluster } from '@peerage/core/testing'
import {
  busContract,
  mailboxContract,
  nodesContract,
  presenceContract,
  registryContract,
  roomsContract,
} from '@peerage/core/testing'
import { aclRules } from '@peerage/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRedis, type RedisServer } from '../support/redis.js'
import type { Store } from './redis-store.js'
import { redisContractCluster, standaloneStore } from './redis-store.js'

let server: RedisServer
let store: Store
beforeAll(async () => {
  server = await startRedis({
    acl: ['default on nopass ~* &* +@all', `peerage on >pw ~t* &t* -@all ${aclRules.join(' ')}`],
  })
  store = standaloneStore(server.url)
})
afterAll(async () => {
  await store.close()
  await server.stop()
})

// With no more rights than the README asks an operator for.
const restricted: MakeCluster = (pace) =>
  redisContractCluster(store, pace, { username: 'peerage', password: 'pw' })

registryContract('Redis', restricted)
nodesContract('Redis', restricted)
busContract('Redis', restricted)
mailboxContract('Redis', restricted)
presenceContract('Redis', restricted)
roomsContract('Redis', restricted)

test('[KEY3] in all of this, nothing was asked of Redis that it had to deny', async () => {
  expect(await server.cli('ACL', 'LOG')).toBe('')
})
