import { systemClock, type OnError } from '@peerage/core'
import type { ContractNode, MakeCluster } from '@peerage/test-support/testing/core.js'
import {
  newConnectionId,
  newPeer,
  answersContract,
  busContract,
  indexContract,
  mailboxContract,
  nodesContract,
  patient,
  poolsContract,
  presenceContract,
  recordsContract,
  registryContract,
  registryProperty,
  roomsContract,
  seatsContract,
} from '@peerage/test-support/testing/core.js'
import { withLinks, type LinkedBackend } from '@peerage/node-links'
import { aclRules, type RedisBackend } from '@peerage/redis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startTopology, type Deployment, type Topology } from '@peerage/test-support/redis-topologies.js'
import { redisContractCluster } from './redis-store.js'

// A user with only the rights that the README asks for.
const acl = ['default on nopass ~* &* +@all', `peerage on >pw ~t* &t* -@all ${aclRules.join(' ')}`]

function linked(backend: RedisBackend, onError: OnError): LinkedBackend {
  return withLinks(backend, {
    host: '0.0.0.0',
    port: 0,
    advertise: null,
    most: 256,
    plain: false,
    clock: systemClock,
    localAddress: () => backend.localAddress(),
    onError,
    undelivered: () => undefined,
    onEvent: () => undefined,
  })
}

/** Longer than any pause of the machine, so that no failover happens. */
const SILENCE_MS = 60_000

/** All contract suites of core, over Redis in this topology. Each topology has its own file, so that they run in parallel. */
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
  const linkedCluster: MakeCluster = async (pace) => {
    const links: LinkedBackend[] = []
    const login = { username: 'peerage', password: 'pw' }
    const cluster = await redisContractCluster(redis, pace, login, (backend, onError) => {
      const made = linked(backend, onError)
      links.push(made)
      return made
    })
    // A node links only to nodes that it knows to be live, so the earlier nodes learn of the new one here.
    const join = async (): Promise<ContractNode> => {
      const node = await cluster.join()
      await Promise.all(links.map(({ nodes }) => nodes.refresh()))
      return node
    }
    return { ...cluster, join }
  }
  busContract(`${name}, with links`, linkedCluster)
  test('[LINK1] [LINK2] envelopes arrive once and in order while the bus changes from Redis to a link', async () => {
    const cluster = await linkedCluster(patient)
    const [a, b] = [await cluster.join(), await cluster.join()]
    const [peer, connection] = [newPeer(), newConnectionId()]
    const received: number[] = []
    await a.backend.bus.subscribe(a.node, () => undefined)
    await b.backend.bus.subscribe(b.node, (envelope) => {
      received.push(envelope.type === 'superseded' ? envelope.epoch : Number.NaN)
    })
    let sent = 0
    const { links } = a.backend as LinkedBackend
    expect(links.envelopes).toEqual({ link: 0, inbox: 0 })
    const isCarried = (): boolean => (a.backend as LinkedBackend).links.envelopes.link > 100
    await vi.waitUntil(
      () => {
        for (let i = 0; i < 20; i++)
          void a.backend.bus.publish(b.node, { type: 'superseded', peer, connection, epoch: sent++ })
        return isCarried()
      },
      { timeout: 20_000, interval: 5 },
    )
    await vi.waitUntil(() => received.length >= sent, { timeout: 20_000 })
    expect(received).toEqual(Array.from({ length: sent }, (_, i) => i))
    await cluster.stop()
  })
  mailboxContract(name, restricted)
  presenceContract(name, restricted)
  roomsContract(name, restricted)
  poolsContract(name, restricted)
  seatsContract(name, restricted)
  indexContract(name, restricted)
  recordsContract(name, restricted)
  answersContract(name, restricted)
  // Many short histories in which no lease expires.
  registryProperty(name, restricted, {
    ...(topology === 'standalone' ? { runs: 60, steps: 40 } : { runs: 15, steps: 30 }),
    pace: patient,
    clockSteps: false,
  })

  test('[KEY3] Redis denied no command in any of these tests', async () => {
    const logs = await redis.everywhere('ACL', 'LOG')
    expect(logs.join('')).toBe('')
  })
}
