import { RegistryUnavailable, systemClock } from '@peerage/core'
import type { Lease } from '@peerage/core'
import { claimed, newPeer, newSecretHash, ownerAt } from '@peerage/test-support/testing/core.js'
import { describe, expect, test } from 'vitest'
import { topologies } from '@peerage/test-support/redis-topologies.js'
import type { RigNode } from './redis-rig.js'
import { becomeHealthy, eventually, rigTimes, succeeds, useRedis, useTopology } from './redis-rig.js'

/** With which words Redis refuses a claim; none when it does not. */
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

/** Longer than any pause of the machine: here nobody takes over from anybody. */
const SILENCE_MS = 60_000

describe.each(topologies)('what Redis refuses, or others put into it, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  test('[F24] out of memory and without replicas: clean refusals with Redis’s own words, then well again', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    const held = await claimed(node, newPeer())
    await bench.redis.everywhere('CONFIG', 'SET', 'maxmemory', '1')
    expect(await refusal(node)).toContain('OOM')
    expect(await node.backend.registry.lookup(held.peer)).toEqual(held)
    await bench.redis.everywhere('CONFIG', 'SET', 'maxmemory', '0')
    await eventually('claims go on', async () => (await refusal(node)) === '')

    await bench.redis.everywhere('CONFIG', 'SET', 'min-replicas-to-write', '2')
    expect(await refusal(node)).toContain('NOREPLICAS')
    await bench.redis.everywhere('CONFIG', 'SET', 'min-replicas-to-write', '0')
    await eventually('claims go on', async () => (await refusal(node)) === '')
  })

  test('[I12] a node whose own clock stood still learns from Redis that it has lapsed, and names of it may be taken', async () => {
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

  test('[CALL3] SCRIPT FLUSH: scripts are sent again, and no call fails', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    const lease = await claimed(node, newPeer())
    await bench.redis.everywhere('SCRIPT', 'FLUSH')
    const leases = await Promise.all(Array.from({ length: 100 }, () => claimed(node, newPeer())))
    await bench.redis.everywhere('SCRIPT', 'FLUSH')
    expect(await node.backend.registry.renew([lease, ...leases])).toEqual([])
  })

  test('[F23] junk that strangers put into our keys and channels harms nothing', async () => {
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
    // Nobody's, or an error on a Cluster; and who is asked for in the same turn is found [CALL9].
    const [nobody, found] = await Promise.all([
      registry.lookup(wrongType).catch(() => undefined),
      registry.lookup(overwritten),
    ])
    expect(nobody).toBeUndefined()
    expect(found?.node).toBe(a.node)
    await bench.redis.at('pg:nodes', 'ZADD', 'pg:nodes', '1', 'not a node', '+inf', 'x')
    await put(wrongType, 'queue', 'SET', 'x')
    expect(await succeeds(mailbox.take(wrongType))).toBe(false)
    const heard: unknown[] = []
    presence.onChange((change) => heard.push(change))
    await presence.watch(overwritten)
    for (const payload of junk) await put(overwritten, 'presence', 'SPUBLISH', payload)
    const lease: Lease = await claimed(a, overwritten, { policy: 'replace' })
    await eventually('the true change is heard', () => heard.length > 0)
    expect(heard).toEqual([{ peer: overwritten, state: 'online', since: lease.since }])
    expect(await a.backend.nodes.beat()).toBe('alive')
    expect(
      a.backend.nodes
        .list()
        .map((one) => one.node)
        .sort(),
    ).toEqual([a.node, b.node].sort())
  })
})

// On one server: to the others their sentinels, or the cluster, give another master (redis-failover).
describe('a server that is told to follow another', () => {
  const bench = useRedis()

  test('[F24] read-only: clean refusals with Redis’s own words, then well again', async () => {
    const node = await bench.rig()
    await becomeHealthy(node)
    await bench.server.cli('REPLICAOF', '127.0.0.1', '1')
    await eventually('the refusal says why', async () => (await refusal(node)).includes('READONLY'))
    await bench.server.cli('REPLICAOF', 'NO', 'ONE')
    await eventually('claims go on', async () => (await refusal(node)) === '')
  })
})
