import { RegistryUnavailable, systemClock } from '@peerage/core'
import type { Lease } from '@peerage/core'
import { claimed, newPeer, newSecretHash, ownerAt } from '@peerage/test-support/testing/core.js'
import { describe, expect, test } from 'vitest'
import { topologies } from '@peerage/test-support/redis-topologies.js'
import type { RigNode } from './redis-rig.js'
import { becomeHealthy, eventually, rigTimes, succeeds, useRedis, useTopology } from './redis-rig.js'

/** The error with which Redis refuses a claim, or an empty text if it does not. */
async function refusal(node: RigNode): Promise<string> {
  try {
    await node.backend.registry.claim(newPeer(), ownerAt(node), {
      secretHash: newSecretHash(),
      policy: 'refuse',
    })
    return ''
  } catch (error) {
    if (error instanceof RegistryUnavailable) return error.message
    throw error
  }
}

/** Longer than any pause of the machine, so that no failover happens. */
const SILENCE_MS = 60_000

describe.each(topologies)('refusals of Redis, and foreign data in it, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  test('[F24] out of memory or without replicas Redis’s own error is reported, and claims work again afterwards', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    const held = await claimed(node, newPeer())
    await bench.redis.everywhere('CONFIG', 'SET', 'maxmemory', '1')
    expect(await refusal(node)).toContain('OOM')
    expect(await node.backend.registry.lookup(held.peer)).toEqual(held)
    await bench.redis.everywhere('CONFIG', 'SET', 'maxmemory', '0')
    await eventually('claims work again', async () => (await refusal(node)) === '')

    await bench.redis.everywhere('CONFIG', 'SET', 'min-replicas-to-write', '2')
    expect(await refusal(node)).toContain('NOREPLICAS')
    await bench.redis.everywhere('CONFIG', 'SET', 'min-replicas-to-write', '0')
    await eventually('claims work again', async () => (await refusal(node)) === '')
  })

  test('[I12] a node whose clock stood still learns from Redis that its lease has lapsed, and others may claim its names', async () => {
    const halted: { at?: number } = {}
    const clock = { ...systemClock, monotonic: () => halted.at ?? performance.now() }
    const times = { ...rigTimes, nodeLeaseMs: 1_000, graceMs: 300 }
    const [paused, other] = [
      await bench.rig(bench.redis.url, { clock, times, beating: false }),
      await bench.rig(bench.redis.url, { times }),
    ]
    const lease = await claimed(paused, newPeer())
    halted.at = performance.now()
    const taken = async (): Promise<boolean> => {
      const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
      return (await other.backend.registry.claim(lease.peer, ownerAt(other), options)).ok
    }
    await eventually('the name is taken', taken)
    expect(await paused.backend.nodes.beat()).toBe('lapsed')
    expect(await paused.backend.registry.renew([lease])).toMatchObject([{ reason: 'another' }])
  })

  test('[CALL3] after SCRIPT FLUSH scripts are sent again and no call fails', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    const lease = await claimed(node, newPeer())
    await bench.redis.everywhere('SCRIPT', 'FLUSH')
    const leases = await Promise.all(Array.from({ length: 100 }, () => claimed(node, newPeer())))
    await bench.redis.everywhere('SCRIPT', 'FLUSH')
    expect(await node.backend.registry.renew([lease, ...leases])).toEqual([])
  })

  test('[F23] junk in our keys and channels does no harm', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await becomeHealthy(a, b)
    const { registry, presence, mailbox } = a.backend
    const put = async (peer: string, what: string, command: string, value: string): Promise<void> => {
      const name = `pg:{${peer}}:${what}`
      await bench.redis.at(name, command, name, value)
    }
    const junk = [
      '',
      'x',
      '1 2 3',
      'abcdefgh c1 1 2 x h',
      '\0',
      '99999999999999999999',
      'abcdefgh c1 1e3 2 o h',
    ]
    for (const value of junk) {
      const peer = newPeer()
      await put(peer, 'lease', 'SET', value)
      expect(await registry.lookup(peer)).toBeUndefined()
      expect(await registry.renew([{ ...(await claimed(b, newPeer())), peer }])).toMatchObject([
        { reason: 'absent' },
      ])
    }
    const overwritten = newPeer()
    await put(overwritten, 'lease', 'SET', 'junk')
    expect((await claimed(a, overwritten)).node).toBe(a.node)
    const wrongType = newPeer()
    await put(wrongType, 'lease', 'RPUSH', 'x')
    // This look-up finds nothing, or fails on a Cluster. A look-up of another name in the same turn succeeds [CALL9].
    const [nobody, found] = await Promise.all([
      registry.lookup(wrongType).catch(() => undefined),
      registry.lookup(overwritten),
    ])
    expect(nobody).toBeUndefined()
    expect(found?.node).toBe(a.node)
    await bench.redis.at('pg:nodes', 'ZADD', 'pg:nodes', '1', 'not a node', '+inf', 'x')
    await put(wrongType, 'queue', 'SET', 'x')
    expect(await succeeds(mailbox.take(wrongType))).toBe(false)
    const changes: unknown[] = []
    presence.onChange((change) => changes.push(change))
    await presence.watch(overwritten)
    for (const payload of junk) await put(overwritten, 'presence', 'SPUBLISH', payload)
    const lease: Lease = await claimed(a, overwritten, { policy: 'replace' })
    await eventually('the real change arrives', () => changes.length > 0)
    expect(changes).toEqual([{ peer: overwritten, state: 'online', since: lease.since }])
    expect(await a.backend.nodes.beat()).toBe('alive')
    expect(
      a.backend.nodes
        .list()
        .map((one) => one.node)
        .sort(),
    ).toEqual([a.node, b.node].sort())
  })
})

// On one server, because sentinels and a cluster would fail over to another master (see redis-failover.test.ts).
describe('a server that becomes a replica', () => {
  const bench = useRedis()

  test('[F24] while it is read-only Redis’s own error is reported, and claims work again afterwards', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    await bench.server.cli('REPLICAOF', '127.0.0.1', '1')
    await eventually('the refusal says why', async () => (await refusal(node)).includes('READONLY'))
    await bench.server.cli('REPLICAOF', 'NO', 'ONE')
    await eventually('claims work again', async () => (await refusal(node)) === '')
  })
})
