import { randomUUID } from 'node:crypto'
import type { Lease } from '@peerage/core'
import { staleLeaseMs } from '@peerage/core'
import {
  claimed,
  must,
  newPeer,
  newSecretHash,
  ownerAt,
  peer as peerOf,
} from '@peerage/test-support/testing/core.js'
import type { Peer } from '@peerage/protocol'
import { parseApp, parseConnectionId, parseName, parseRoom, roomIdOf } from '@peerage/protocol'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Deployment, Topology } from '@peerage/test-support/redis-topologies.js'
import { startTopology, topologies } from '@peerage/test-support/redis-topologies.js'
import type { RigNode } from './redis-rig.js'
import { becomeHealthy, eventually, rigTimes, startRigNode } from './redis-rig.js'

let redis: Deployment
let nodes: RigNode[]

/** A long deadline for commands, because a pause of the machine must not fail one of thousands. */
const times = { ...rigTimes, commandMs: 10_000 }
/** Longer than any pause of the machine, so that no failover happens. */
const SILENCE_MS = 60_000

/** Starts three nodes on a Redis of this topology for the tests of a `describe`. */
function useNodes(topology: Topology): void {
  beforeAll(async () => {
    redis = await startTopology(topology, { silenceMs: SILENCE_MS })
    nodes = await Promise.all([1, 2, 3].map(() => startRigNode(redis.url, { times })))
    for (const node of nodes) await becomeHealthy(node)
  })
  afterAll(async () => {
    for (const node of nodes) await node.stop()
    await redis.stop()
  })
}

const at = (i: number): RigNode => {
  const node = nodes[i % nodes.length]
  if (!node) throw new Error('no nodes')
  return node
}

describe.each(topologies)('names, %s', (topology) => {
  useNodes(topology)

  test('[CALL1] [I1] [F21] of two nodes that claim the same name at once exactly one wins, 1,000 times', async () => {
    for (let round = 0; round < 1_000; round++) {
      const peer = newPeer()
      const results = await Promise.all(
        [0, 1].map((i) =>
          at(round + i).backend.registry.claim(peer, ownerAt(at(round + i)), {
            secretHash: newSecretHash(),
            policy: 'refuse',
          }),
        ),
      )
      const won = results.filter((result) => result.ok)
      expect(won).toHaveLength(1)
      for (const result of results) if (!result.ok) expect(result.holder).toEqual(won[0]?.lease)
    }
  })

  test('[I16] [LEASE2] 10,000 claims that end by release, grace or reclaim leave no key, or one that expires', async () => {
    await redis.flush()
    const known = async (): Promise<string> =>
      redis.at('pg:nodes', 'ZCOUNT', 'pg:nodes', String(Date.now() + 1_000), '+inf')
    await eventually('the nodes are back', async () => Number(await known()) === nodes.length)
    // After the flush a node takes no new names until its own beat has been answered.
    const claims = async (node: RigNode): Promise<boolean> => {
      const { registry } = node.backend
      const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
      const result = await registry.claim(newPeer(), ownerAt(node), options)
      if (result.ok) await registry.release(result.lease)
      return result.ok
    }
    await eventually('the nodes take names', async () =>
      (await Promise.all(nodes.map(claims))).every(Boolean),
    )
    for (let batch = 0; batch < 20; batch++) {
      await Promise.all(
        Array.from({ length: 500 }, async (_, i) => {
          const node = at(i)
          const first = await claimed(node, newPeer())
          if (i % 3 === 0) return node.backend.registry.release(first)
          if (i % 3 === 1) return node.backend.registry.suspend(first, 50)
          const second = await claimed(at(i + 1), first.peer, { secretHash: first.secretHash })
          await node.backend.registry.release(first)
          return at(i + 1).backend.registry.release(second)
        }),
      )
    }
    // DBSIZE counts expired keys until Redis removes them, which it does ten times a second.
    const counted = async (): Promise<number> =>
      (await redis.everywhere('DBSIZE')).reduce((sum, size) => sum + Number(size), 0)
    const isMark = (key: string): boolean => key.startsWith('pg:birth:')
    const marks = (await redis.keys()).filter(isMark).length
    expect(marks).toBe(topology === 'cluster' ? 3 : 0)
    // SET5: a lease that was not the first of its rank leaves a tombstone, as long as a node may know an earlier lease.
    const tombstones = 20 * Math.floor(500 / 3)
    await eventually('the other keys are gone', async () => (await counted()) === 1 + marks + tombstones)
    const left = (await redis.keys()).filter((key) => !isMark(key) && key !== 'pg:nodes')
    expect(left).toHaveLength(tombstones)
    for (const key of left.slice(0, 20)) {
      expect(await redis.at(key, 'GET', key)).toMatch(/^\d+ \d+$/)
      expect(Number(await redis.at(key, 'PTTL', key))).toBeLessThanOrEqual(staleLeaseMs(rigTimes))
      expect(Number(await redis.at(key, 'PTTL', key))).toBeGreaterThan(0)
    }
  })
})

// On one server, because the tests read its clock just before and just after.
describe('times', () => {
  useNodes('standalone')

  let client: Redis
  beforeAll(() => {
    client = new Redis(redis.url)
  })
  afterAll(() => client.quit())

  /** Redis's clock, in microseconds. */
  const now = async (): Promise<number> => {
    // ioredis returns strings here, whatever its types say.
    const [seconds = NaN, micros = NaN] = (await client.time()).map(Number)
    return seconds * 1e6 + micros
  }

  test('[CALL6] a lease and a membership do not end too early, not even by a microsecond', async () => {
    const { backend, node } = at(0)
    const room = roomIdOf(must(parseApp('peerage')), must(parseRoom('times')))
    for (let round = 0; round < 20; round++) {
      const before = await now()
      await backend.nodes.beat()
      const leaseEnd = Number(await redis.at('pg:nodes', 'ZSCORE', 'pg:nodes', node))
      expect(leaseEnd * 1e3).toBeGreaterThanOrEqual(before + rigTimes.nodeLeaseMs * 1e3)
      const joined = await now()
      const member = { name: must(parseName(`m${round}`)), since: 1, node, state: 'online' } as const
      await backend.rooms.join(room, member, 60_000, 100)
      const ends = `pg:{${room}}:members:ends`
      const membershipEnd = Number(await redis.at(ends, 'ZSCORE', ends, `m${round}\n1`))
      expect(membershipEnd * 1e3).toBeGreaterThanOrEqual(joined + 60_000 * 1e3)
    }
  })

  test('[CALL6] a queue does not expire too early, not even by a microsecond', async () => {
    const expireMs = 50
    const node = await startRigNode(redis.url, {
      times,
      mailboxLimits: { messages: 5, length: 4_000, expireMs },
    })
    for (let rounds = 0; rounds < 20;) {
      const to = newPeer()
      const before = await now()
      const message = { from: to, to, wire: 'peerjs', hold: true, kind: 'signal', frame: '{}' } as const
      await node.backend.mailbox.put(to, message)
      // Asks without a pause, because the first moment at which the queue has expired counts.
      const lasted = async (): Promise<number> => (await now()) - before
      let expired = false
      while (!expired && (await lasted()) < 2 * expireMs * 1e3)
        expired = (await node.backend.mailbox.expire(to)).length > 0
      // If the machine paused for longer, Redis may have deleted the queue.
      if (!expired) continue
      expect(await lasted()).toBeGreaterThanOrEqual(expireMs * 1e3)
      rounds++
    }
    await node.stop()
  })
})

// On one server, because the size of a key does not depend on the topology.
describe('names in memory', () => {
  useNodes('standalone')

  test('[KEY4] a name takes at most 230 bytes of memory in Redis', async () => {
    const names = Array.from({ length: 32_000 }, () => peerOf(`peerage/${randomUUID()}`))
    const key = `pg:{${names[0]}}:lease`
    const size = async (): Promise<string> => redis.at(key, 'MEMORY', 'USAGE', key)
    // Without the buffers of connections.
    const used = async (): Promise<number> => {
      const info = await redis.at(key, 'INFO', 'memory')
      const bytes = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'mu').exec(info)?.[1])
      return bytes('used_memory') - bytes('mem_clients_normal')
    }
    const before = await used()
    const leases: Lease[] = []
    while (leases.length < names.length) {
      const from = leases.length
      const batch = names.slice(from, from + 1_000)
      leases.push(...(await Promise.all(batch.map((name, i) => claimedBy(at(i), name, from + i)))))
    }
    expect((await redis.at(key, 'GET', key)).length).toBeLessThanOrEqual(44)
    expect(Number(await size())).toBeLessThanOrEqual(230)
    // Redis updates the size of the buffers a few times a second and frees them after a while.
    let each = Number.POSITIVE_INFINITY
    await eventually('a name takes at most 230 bytes', async () => {
      each = ((await used()) - before) / names.length
      return each <= 230
    })
    console.log(`Redis memory: ${each.toFixed(0)} bytes a name, ${await size()} by MEMORY USAGE`)
    expect(leases[0]?.node).toHaveLength(8)
  })
})

/** Claims a name for a connection with this serial number, whose id is as short as a node's own ids. */
async function claimedBy(node: RigNode, peer: Peer, serial: number): Promise<Lease> {
  const connection = must(parseConnectionId(serial.toString(36)))
  const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
  const result = await node.backend.registry.claim(peer, { node: node.node, connection }, options)
  if (!result.ok) throw new Error(`${peer} is held by ${result.holder?.node ?? 'an unknown node'}`)
  return result.lease
}
