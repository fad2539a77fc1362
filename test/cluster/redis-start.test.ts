import { claimed, newPeer } from '@peerage/test-support/testing/core.js'
import { aclRules, createRedisBackend } from '@peerage/redis'
import { systemClock } from '@peerage/core'
import { describe, expect, test } from 'vitest'
import { readFile } from 'node:fs/promises'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startTopology, topologies } from '@peerage/test-support/redis-topologies.js'
import { startMeddler } from './meddler.js'
import type { RigNode, RigOptions } from './redis-rig.js'
import {
  ailments,
  becomeHealthy,
  eventually,
  isHealthy,
  reaches,
  rigTimes,
  settle,
  startRigNode,
  succeeds,
  useRedis,
  useTopology,
} from './redis-rig.js'

/** Expects that start did not hang and reported why Redis cannot be reached. */
async function expectAbsent(node: RigNode): Promise<void> {
  expect(isHealthy(node)).toBe(false)
  await eventually('the reason is reported', () => ailments(node).at(-1)?.includes('ECONNREFUSED') ?? false)
  expect(node.errors.map(({ error }) => String(error)).join()).toContain('ECONNREFUSED')
  expect(await succeeds(node.backend.registry.lookup(newPeer()))).toBe(false)
  expect(await succeeds(node.backend.nodes.beat())).toBe(false)
  await eventually('the node has tried several times', () => node.beats.length > 10)
  // The operator gets one line, not one for each retry of three connections.
  expect(node.errors.length).toBeLessThan(5)
}

/** Longer than any pause of the machine, so that no failover happens. */
const SILENCE_MS = 60_000

describe.each(topologies)('start and stop, %s', (topology) => {
  const bench = useTopology(topology, {
    redis: { config: { 'maxmemory-policy': 'allkeys-lru' } },
    silenceMs: SILENCE_MS,
  })

  test('without Redis start does not hang, reports why and retries, and the node is healthy when Redis comes', async () => {
    await bench.redis.kill()
    const begun = performance.now()
    const node = await bench.rig()
    expect(performance.now() - begun).toBeLessThan(10_000)
    await expectAbsent(node)
    await bench.redis.restart()
    await becomeHealthy(node)
    await claimed(node, newPeer())
    await eventually('the bus works again', () => reaches(node, node))
  })

  // Once, each start logged three warnings before the connections stood.
  test('a normal start reports that the node is healthy, and no ailment', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    expect(ailments(node)).toEqual([])
  })

  test('with servers that do not answer start does not hang, and reports why', async () => {
    await bench.redis.pause()
    const begun = performance.now()
    const node = await bench.rig()
    expect(performance.now() - begun).toBeLessThan(10_000)
    expect(isHealthy(node)).toBe(false)
    expect(ailments(node).at(-1)).toMatch(/not connected to Redis/)
    await bench.redis.resume()
    await becomeHealthy(node)
  })

  test('nodes with another prefix form another cluster on the same Redis', async () => {
    const [a, b] = [await bench.rig(), await bench.rig(undefined, { prefix: 'staging:' })]
    await becomeHealthy(a, b)
    const lease = await claimed(a, newPeer())
    expect(await b.backend.registry.lookup(lease.peer)).toBeUndefined()
    expect(await reaches(b, a)).toBe(false)
    await b.backend.nodes.beat()
    expect(b.backend.nodes.status(a.node)).toEqual({ state: 'unknown' })
    const keys = await bench.redis.keys()
    expect(keys.length).toBeGreaterThanOrEqual(3)
    expect(keys.every((key) => /^(pg|staging):/.test(key))).toBe(true)
  })

  test('inspect returns what doctor shows', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    const inspection = await node.backend.inspect()
    expect(inspection).toMatchObject({ topology, maxmemoryPolicy: 'allkeys-lru' })
    expect(inspection.version).toMatch(/^[7-9]\./)
    expect(inspection.latencyMs).toBeLessThan(500)
    expect(Math.abs(inspection.clockSkewMs)).toBeLessThan(500)
  })

  test('commands that are open when a node stops cause no error reports', async () => {
    const node = await startRigNode(bench.redis.url)
    await settle(node)
    const peer = newPeer()
    await node.backend.presence.watch(peer)
    await bench.redis.pause()
    node.backend.presence.unwatch(peer)
    const asked = succeeds(node.backend.registry.lookup(peer))
    await new Promise((resolve) => setImmediate(resolve)) // the command is written at the end of this turn
    await node.stop()
    expect(await asked).toBe(false) // the connections are gone
    await bench.redis.resume()
    expect(node.errors).toEqual([])
  })

  test('[I16] after stop no connection, subscription or timer of ours is left', async () => {
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((one) => /Timeout|TCPSocket/u.test(one)).length
    const before = timers()
    const clients = async (): Promise<number> => {
      const lists = await bench.redis.everywhere('CLIENT', 'LIST')
      return lists.join('\n').match(/ name=(?:peerage|ioredis)-/gu)?.length ?? 0
    }
    for (let i = 0; i < 3; i++) {
      const node = await startRigNode(bench.redis.url)
      await becomeHealthy(node)
      // One each for commands, for publishing and for subscribing.
      expect(await clients()).toBeGreaterThanOrEqual(3)
      await node.stop()
      await eventually('connections are gone', async () => (await clients()) === 0)
    }
    await eventually('timers are gone', () => timers() <= before)
  })
})

describe.each(topologies)('credentials, %s', (topology) => {
  const bench = useTopology(topology, {
    redis: {
      config: { requirepass: 'right', masterauth: 'right' },
      login: { password: 'right' },
      acl: ['peer%40 on >p:w/1 ~pg:* &pg:* +@all', `peerage on >pw ~pg:* &pg:* -@all ${aclRules.join(' ')}`],
    },
    silenceMs: SILENCE_MS,
  })

  test('a wrong password is reported, and nothing hangs', async () => {
    const node = await bench.rig(undefined, { password: 'wrong' })
    await eventually('the reason is reported', () => ailments(node).at(-1)?.includes('WRONGPASS') ?? false)
    expect(isHealthy(node)).toBe(false)
    expect(await succeeds(node.backend.registry.lookup(newPeer()))).toBe(false)
    for (const { error } of node.errors) expect(String(error)).not.toContain('wrong')
  })

  test('the username and the password may be in the URL or in options', async () => {
    const inUrl = await bench.rig(bench.redis.url.replace('://', '://peer%2540:p%3Aw%2F1@'))
    const apart = await bench.rig(undefined, { username: 'peer%40', password: 'p:w/1' })
    await becomeHealthy(inUrl, apart)
  })

  test('[KEY3] a user with only our commands, keys and channels has enough rights', async () => {
    await bench.redis.everywhere('ACL', 'LOG', 'RESET')
    const node = await bench.rig(undefined, { username: 'peerage', password: 'pw' })
    await becomeHealthy(node)
    const { registry, mailbox, presence, nodes } = node.backend
    const peer = newPeer()
    const changes: string[] = []
    presence.onChange((change) => changes.push(change.state))
    await presence.watch(peer)
    const lease = await claimed(node, peer)
    expect(await registry.renew([lease])).toEqual([])
    expect(await registry.reassert([lease])).toEqual({ lost: [], evicted: [] })
    await registry.suspend(lease, 10_000)
    await registry.release(lease)
    const message = { from: peer, to: peer, wire: 'peerjs', kind: 'signal', frame: 'x' } as const
    await mailbox.put(peer, message)
    await mailbox.put(peer, message)
    expect(await mailbox.take(peer)).toHaveLength(2)
    await eventually('the changes arrive', () => changes.length === 3)
    await eventually('the bus works again', () => reaches(node, node))
    await node.backend.inspect()
    await nodes.announce('here')
    expect(await nodes.announced(node.node)).toBe('here')
    await nodes.leave()
    expect(node.errors).toEqual([])
    expect((await bench.redis.everywhere('ACL', 'LOG')).join('')).toBe('')
  })
})

// On one server, because sentinels and a cluster announce addresses that bypass the proxy of this test.
describe('the version of Redis', () => {
  const bench = useRedis()

  test('a Redis older than 7.0 is refused with its version', async () => {
    const meddler = await startMeddler(bench.server.port)
    bench.cleanups.push(() => meddler.stop())
    meddler.rewrite((text) =>
      // The length must not change, because INFO's reply starts with its length. Valkey reports both versions.
      text.replaceAll(/(redis|valkey)_version:\d+\.\d+\.\d+/gu, (found, product: string) =>
        `${product}_version:6.2`.padEnd(found.length, '0'),
      ),
    )
    const backend = createRedisBackend({
      url: meddler.url,
      times: rigTimes,
      clock: systemClock,
      onError: () => undefined,
    })
    bench.cleanups.push(() => backend.stop())
    await expect(backend.start(() => undefined)).rejects.toThrow(/^Redis 6\.2\S* is older than 7\.0/)
  })
})

test.each(topologies)(
  'TLS, %s: the given authority is trusted, and without it the node reports the certificate',
  async (topology) => {
    const tls = await makeCertificates()
    const redis = await startTopology(topology, { redis: { tls } })
    const rigs: RigNode[] = []
    const rig = async (options: RigOptions): Promise<RigNode> => {
      const node = await startRigNode(redis.url, options)
      rigs.push(node)
      return node
    }
    try {
      expect(redis.url).toMatch(/^rediss/)
      const [trusting, untrusting] = [
        await rig({ tls: { ca: await readFile(tls.ca, 'utf8') } }),
        await rig({}),
      ]
      await becomeHealthy(trusting)
      await claimed(trusting, newPeer())
      await eventually('the bus works again', () => reaches(trusting, trusting))
      await eventually(
        'the reason is reported',
        () => ailments(untrusting).at(-1)?.includes('certificate') ?? false,
      )
      expect(isHealthy(untrusting)).toBe(false)
    } finally {
      for (const node of rigs) await node.stop()
      await redis.stop()
      await tls.remove()
    }
  },
)

test('without a sentinel start does not hang, and reports why', async () => {
  const node = await startRigNode(`redis+sentinel://127.0.0.1:${await freePort()}/peerage`)
  try {
    await expectAbsent(node)
  } finally {
    await node.stop()
  }
})

test('impossible options are refused before a connection, without the password in the error', () => {
  const make = (url: string, prefix = 'pg:') =>
    createRedisBackend({ url, prefix, times: rigTimes, clock: systemClock, onError: () => undefined })
  expect(() => make('http://x')).toThrow('Redis URL: ')
  expect(() => make('redis://u:secret@h:99999')).toThrow(/^Redis URL: (?!.*secret)/u)
  expect(() => make('redis://h', 'a{b}')).toThrow('Redis prefix: ')
})
