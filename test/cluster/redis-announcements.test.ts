import { RegistryUnavailable, systemClock } from '@peerage/core'
import { aclRules, createRedisBackend } from '@peerage/redis'
import { describe, expect, test } from 'vitest'
import { topologies } from '@peerage/test-support/redis-topologies.js'
import { becomeHealthy, eventually, rigTimes, useRedis, useTopology } from './redis-rig.js'

/** Longer than any pause of the machine: here nobody takes over from anybody. */
const SILENCE_MS = 60_000
/** A lease that no pause of the machine ends. */
const times = { ...rigTimes, nodeLeaseMs: 60_000, nameTtlMs: 120_000 }

describe.each(topologies)('announcements, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  test('[KEY5] [I16] it is a key of the node that ends with its lease, and none is left when everybody has left', async () => {
    const nodes = [1, 2, 3].map(() => bench.rig(undefined, { times, beating: false }))
    for (const node of await Promise.all(nodes)) {
      const { backend } = node
      const key = `pg:node:${node.node}`
      const ttl = async (): Promise<number> => Number(await bench.redis.at(key, 'PTTL', key))
      await backend.nodes.announce(`of ${node.node}`)
      expect(await bench.redis.at(key, 'GET', key)).toBe(`of ${node.node}`)
      expect(await ttl()).toBeLessThanOrEqual(times.nodeLeaseMs)
      await bench.redis.at(key, 'PEXPIRE', key, '30000')
      expect(await backend.nodes.beat()).toBe('alive')
      await eventually('the beat has written it again', async () => (await ttl()) > 30_000)
      // Another text than the node's own, as an old one would be.
      await bench.redis.at(key, 'SET', key, 'another')
      expect(await backend.nodes.beat()).toBe('alive')
      await eventually('it says the same', async () => (await bench.redis.at(key, 'GET', key)) !== 'another')
      expect(await bench.redis.at(key, 'GET', key)).toBe(`of ${node.node}`)
    }
    for (const node of await Promise.all(nodes)) await node.backend.nodes.leave()
    const left = await bench.redis.keys()
    expect(left.filter((key) => !key.startsWith('pg:birth:'))).toEqual(['pg:nodes'])
  })

  test('Redis away: an announcement is refused and read by nobody, and is written when Redis is back', async () => {
    const [a, b] = [await bench.rig(undefined, { times }), await bench.rig(undefined, { times })]
    await becomeHealthy(a, b)
    await bench.redis.kill()
    await expect(a.backend.nodes.announce('of a')).rejects.toThrow(RegistryUnavailable)
    await expect(b.backend.nodes.announced(a.node)).rejects.toThrow(RegistryUnavailable)
    await bench.redis.restart()
    await becomeHealthy(a, b)
    await eventually('it can be read', async () => {
      const read = b.backend.nodes.announced(a.node)
      return (await read.catch(() => undefined)) === 'of a'
    })
  })

  test('a node knows its own address on the way to Redis while it is connected, and none otherwise', async () => {
    const { url } = bench.redis
    const unused = createRedisBackend({ url, times, clock: systemClock, onError: () => undefined })
    expect(unused.localAddress()).toBeUndefined()
    const node = await bench.rig()
    await becomeHealthy(node)
    expect(node.backend.localAddress()).toBe('127.0.0.1')
    // It is a field: an application's copy of a backend has it, too.
    expect({ ...node.backend }.localAddress()).toBe('127.0.0.1')
    await bench.redis.kill()
    await eventually('no connection is left', () => node.backend.localAddress() === undefined)
    await bench.redis.restart()
    await eventually('it is connected again', () => node.backend.localAddress() === '127.0.0.1')
    await node.stop()
    await eventually('its connection has ended', () => node.backend.localAddress() === undefined)
  })
})

// One server says enough of what does not depend on where a key is.
describe('announcements on one server', () => {
  const bench = useRedis()

  test('[KEY5] a beat neither waits for the announcement nor fails with it: that is told, and the next beat writes it', async () => {
    const rules = ['~pg:*', '&pg:*', '-@all', ...aclRules]
    await bench.server.cli('ACL', 'SETUSER', 'peerage', 'on', '>pw', ...rules, '-set', '-del')
    const options = { times, beating: false, username: 'peerage', password: 'pw' }
    const node = await bench.rig(undefined, options)
    const { nodes } = node.backend
    const told = (): number => node.errors.filter(({ stage }) => stage === 'announce').length
    await expect(nodes.announce('here')).rejects.toThrow(/NOPERM/)
    expect(told()).toBe(0)
    expect(await nodes.beat()).toBe('alive')
    // Redis's answer has not come yet: the beat has not waited for it.
    expect(told()).toBe(0)
    await eventually('the failure is told', () => told() === 1)
    expect(await nodes.announced(node.node)).toBeUndefined()
    await bench.server.cli('ACL', 'SETUSER', 'peerage', '+set')
    expect(await nodes.beat()).toBe('alive')
    await eventually('it is written', async () => (await nodes.announced(node.node)) === 'here')
    // Nor does a node fail to leave.
    await nodes.leave()
    await eventually('that failure is told', () => told() === 2)
  })

  test('an IPv4 address is given as such, on a socket for both kinds', async () => {
    const node = await bench.rig(`redis://[::ffff:127.0.0.1]:${bench.server.port}`)
    await becomeHealthy(node)
    expect(node.backend.localAddress()).toBe('127.0.0.1')
  })
})
