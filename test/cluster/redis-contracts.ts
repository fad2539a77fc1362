import type { MakeCluster } from '@peerage/core/testing'
import {
  busContract,
  directoryContract,
  mailboxContract,
  nodesContract,
  patient,
  presenceContract,
  registryContract,
  registryProperty,
  roomsContract,
} from '@peerage/core/testing'
import { aclRules } from '@peerage/redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTopology, type Deployment, type Topology } from '@peerage/test-support/redis-topologies.js'
import { redisContractCluster } from './redis-store.js'

// With no more rights than the README asks an operator for.
const acl = ['default on nopass ~* &* +@all', `peerage on >pw ~t* &t* -@all ${aclRules.join(' ')}`]

/** Longer than any pause of the machine: here nobody takes over from anybody. */
const SILENCE_MS = 60_000

/** Every contract of core, over Redis in this topology. A file each, for together they would be the longest by far. */
export function redisContracts(topology: Topology): void {
  describe(topology, () => {
    contracts(topology)
  })
}

function contracts(topology: Topology): void {
  let redis: Deployment
  beforeAll(async () => {
    redis = await startTopology(topology, { redis: { acl }, silenceMs: SILENCE_MS })
  })
  afterAll(() => redis.stop())
  const name = `Redis, ${topology}`
  const restricted: MakeCluster = (pace) =>
    redisContractCluster(redis, pace, { username: 'peerage', password: 'pw' })

  registryContract(name, restricted)
  nodesContract(name, restricted)
  busContract(name, restricted)
  mailboxContract(name, restricted)
  presenceContract(name, restricted)
  roomsContract(name, restricted)
  directoryContract(name, restricted)
  // Many short histories in which nothing ends by itself.
  registryProperty(name, restricted, {
    ...(topology === 'standalone' ? { runs: 60, steps: 40 } : { runs: 15, steps: 30 }),
    pace: patient,
    clockSteps: false,
  })

  test('[KEY3] in all of this, nothing was asked of Redis that it had to deny', async () => {
    const logs = await redis.everywhere('ACL', 'LOG')
    expect(logs.join('')).toBe('')
  })
}
