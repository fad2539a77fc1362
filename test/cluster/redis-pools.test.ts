import { randomBytes } from 'node:crypto'
import type { Times } from '@peerage/core'
import { Node, defaultTimes, systemClock } from '@peerage/core'
import { createRedisBackend } from '@peerage/redis'
import type { Room } from '@peerage/protocol'
import { parseRoom } from '@peerage/protocol'
import type { Topology } from '@peerage/test-support/redis-topologies.js'
import { startTopology } from '@peerage/test-support/redis-topologies.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { arrive, comeIn, must, poolMember, poolNamed } from '@peerage/test-support/testing/core.js'
import { afterEach, describe, expect, test } from 'vitest'
import { becomeHealthy, eventually, rigTimes, startRigNode } from './redis-rig.js'

/** Short beats, so that a test need not wait, and leases longer than any pause of the machine. */
const times: Times = { ...defaultTimes, beatMs: 300, nodeLeaseMs: 60_000, nameTtlMs: 120_000 }
const pool = poolNamed('swarm')
const once = { marked: false, draw: 0, ttlMs: 120_000 }
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startNode(url: string): Promise<Node> {
  const onError = (): void => {}
  const node = new Node({
    backend: createRedisBackend({ url, times, clock: systemClock, onError }),
    times,
    clock: systemClock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError,
    onEvent: () => {},
  })
  cleanups.push(() => node.stop())
  await node.start()
  await eventually('the node is ready', () => node.readiness().ready)
  return node
}

describe.each<Topology>(['standalone', 'cluster'])('%s', (topology) => {
  test('[KEY12] after FLUSHALL members are drawn again, and get frames, until they leave', async () => {
    const redis = await startTopology(topology, {})
    cleanups.push(() => redis.stop())
    const [a, b] = [await startNode(redis.url), await startNode(redis.url)]
    const [alice, bob] = [comeIn(a, { wire: 'webtorrent' }), comeIn(b, { wire: 'webtorrent' })]
    await b.pools.enter(bob.session, pool, 'bob', { ...once, marked: true })
    const drawn = async (): Promise<string[]> => {
      const entered = await a.pools.enter(alice.session, pool, 'alice', { ...once, draw: 5 })
      if (typeof entered === 'string') throw new Error(entered)
      for (const member of entered.drawn) a.pools.hand(pool, member, `to ${member.id}`)
      return entered.drawn.map(({ id }) => id)
    }
    await eventually('bob is drawn', async () => (await drawn()).length === 1)
    await redis.flush()
    await eventually('bob is written back', async () => (await drawn()).includes('bob'))
    expect(await a.pools.sizes([pool])).toEqual([{ members: 2, marked: 1 }])
    const count = bob.connection.sent.length
    expect(await a.pools.handTo(pool, 'bob', 'once more')).toBe(true)
    await eventually('bob gets the frames', () =>
      bob.connection.sent.slice(count).some((one) => one.type === 'handed' && one.frame === 'once more'),
    )
    await Promise.all([a.end(alice.connection.id, 'left'), b.end(bob.connection.id, 'left')])
    await Promise.all([a.pools.settled(), b.pools.settled()])
    expect(await redis.keys('*pool*')).toEqual([])
  })

  test('[KEY11] after FLUSHALL a waiting group gets its last member, and a full one gets nobody', async () => {
    const redis = await startTopology(topology, {})
    cleanups.push(() => redis.stop())
    const [a, b] = [await startNode(redis.url), await startNode(redis.url)]
    const arena = must(parseRoom('arena'))
    const sit = async (node: Node, name: string): Promise<Room> => {
      const at = await arrive(node, name, { wire: 'matchbox' })
      const room = await node.rooms.seat(at.session, arena, 2)
      if (room === undefined) throw new Error('the connection has ended')
      await node.rooms.join(at.session, room)
      expect(await node.rooms.confirm(at.session)).toBe(true)
      return room
    }
    const pair = await sit(a, 'ann')
    expect(await sit(b, 'bob')).toBe(pair)
    const waiting = await sit(b, 'carl')
    await redis.flush()
    await eventually('the seat is written back', async () => {
      const keys = await redis.keys('*:seats:2')
      return keys.join('').includes('arena')
    })
    expect(await sit(a, 'dora')).toBe(waiting)
    expect([pair, waiting]).not.toContain(await sit(a, 'emil'))
  })
})

test('[KEY13] a membership of a pool takes at most 320 bytes of memory in Redis', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const rig = await startRigNode(redis.url, { times: { ...rigTimes, commandMs: 10_000 } })
  cleanups.push(() => rig.stop())
  await becomeHealthy(rig)
  const count = 32_000
  const members = Array.from({ length: count }, (_, i) => ({
    ...poolMember(randomBytes(20).toString('hex'), `node-001 ${i.toString(36)}`, i % 2 === 0),
    since: Date.now(),
    ttlMs: 600_000,
  }))
  await rig.backend.pools.keep(pool, members)
  expect(await rig.backend.pools.sizes([pool])).toEqual([{ members: count, marked: count / 2 }])
  let bytes = 0
  for (const kind of ['', ':places', ':marked'])
    bytes += Number(await redis.cli('MEMORY', 'USAGE', `pg:{${pool}}:pool${kind}`, 'SAMPLES', '0'))
  console.log(`Redis memory: ${(bytes / count).toFixed(0)} bytes a membership`)
  expect(bytes / count).toBeLessThanOrEqual(320)
})
