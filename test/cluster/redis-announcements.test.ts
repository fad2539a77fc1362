import { RegistryUnavailable, systemClock } from '@peerage/core'
import { aclRules, createRedisBackend } from '@peerage/redis'
import { describe, expect, test } from 'vitest'
import { topologies } from '@peerage/test-support/redis-topologies.js'
import { becomeHealthy, eventually, rigTimes, useRedis, useTopology } from './redis-rig.js'

/** Longer than any pause of the machine, so that no failover happens. */
const SILENCE_MS = 60_000
/** The leases are longer than any pause of the machine. */
const times = { ...rigTimes, nodeLeaseMs: 60_000, nameTtlMs: 120_000 }

describe.each(topologies)('announcements, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  test('[KEY5] [I16] an announcement is a key that expires with the lease of its node, and none is left when all nodes have left', async () => {
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
      await eventually('the beat has renewed the key', async () => (await ttl()) > 30_000)
      // A text that differs from the node's own, like an old announcement.
      await bench.redis.at(key, 'SET', key, 'another')
      expect(await backend.nodes.beat()).toBe('alive')
      await eventually(
        'the beat has restored the text',
        async () => (await bench.redis.at(key, 'GET', key)) !== 'another',
      )
      expect(await bench.redis.at(key, 'GET', key)).toBe(`of ${node.node}`)
    }
    for (const node of await Promise.all(nodes)) await node.backend.nodes.leave()
    const left = await bench.redis.keys()
    expect(left.filter((key) => !key.startsWith('pg:birth:'))).toEqual(['pg:nodes'])
  })

  test('without Redis announcements can be neither written nor read, and a refused one is written when Redis is back', async () => {
    const [a, b] = [await bench.rig(undefined, { times }), await bench.rig(undefined, { times })]
    await becomeHealthy(a, b)
    await bench.redis.kill()
    await expect(a.backend.nodes.announce('of a')).rejects.toThrow(RegistryUnavailable)
    await expect(b.backend.nodes.announced(a.node)).rejects.toThrow(RegistryUnavailable)
    await bench.redis.restart()
    await becomeHealthy(a, b)
    await eventually('the announcement can be read', async () => {
      const read = b.backend.nodes.announced(a.node)
      return (await read.catch(() => undefined)) === 'of a'
    })
  })

  test('a node knows the local address of its Redis connection while it is connected', async () => {
    const { url } = bench.redis
    const unused = createRedisBackend({ url, times, clock: systemClock, onError: () => undefined })
    expect(unused.localAddress()).toBeUndefined()
    const node = await bench.rig()
    await becomeHealthy(node)
    expect(node.backend.localAddress()).toBe('127.0.0.1')
    // localAddress is an own property, so a copy of the backend by spread has it too.
    expect({ ...node.backend }.localAddress()).toBe('127.0.0.1')
    await bench.redis.kill()
    await eventually('no connection is left', () => node.backend.localAddress() === undefined)
    await bench.redis.restart()
    await eventually('it is connected again', () => node.backend.localAddress() === '127.0.0.1')
    await node.stop()
    await eventually('its connection has ended', () => node.backend.localAddress() === undefined)
  })
})

// One server is enough for behaviour that does not depend on which server holds a key.
describe('announcements on one server', () => {
  const bench = useRedis()

  test('[KEY5] a beat neither waits for the announcement nor fails with it; the failure is reported, and the next beat writes it', async () => {
    const rules = ['~pg:*', '&pg:*', '-@all', ...aclRules]
    await bench.server.cli('ACL', 'SETUSER', 'peerage', 'on', '>pw', ...rules, '-set', '-del')
    const options = { times, beating: false, username: 'peerage', password: 'pw' }
    const node = await bench.rig(undefined, options)
    const { nodes } = node.backend
    const reported = (): number => node.errors.filter(({ stage }) => stage === 'announce').length
    await expect(nodes.announce('here')).rejects.toThrow(/NOPERM/)
    expect(reported()).toBe(0)
    expect(await nodes.beat()).toBe('alive')
    // Redis has not answered the announcement yet, so the beat did not wait for it.
    expect(reported()).toBe(0)
    await eventually('the failure is reported', () => reported() === 1)
    expect(await nodes.announced(node.node)).toBeUndefined()
    await bench.server.cli('ACL', 'SETUSER', 'peerage', '+set')
    expect(await nodes.beat()).toBe('alive')
    await eventually('the announcement is written', async () => (await nodes.announced(node.node)) === 'here')
    // A failed deletion does not make `leave` fail.
    await nodes.leave()
    await eventually('the second failure is reported', () => reported() === 2)
  })

  test('an IPv4 address on a dual-stack socket is returned as IPv4', async () => {
    const node = await bench.rig(`redis://[::ffff:127.0.0.1]:${bench.server.port}`)
    await becomeHealthy(node)
    expect(node.backend.localAddress()).toBe('127.0.0.1')
  })
})
