import { RegistryUnavailable, defaultTimes, systemClock } from '@peerage/core'
import type { Lease } from '@peerage/core'
import { claimed, newPeer, newSecretHash, ownerAt } from '@peerage/core/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startRedis, type RedisServer } from '../support/redis.js'
import { startTcpProxy } from '../support/tcp-proxy.js'
import { startMeddler } from './meddler.js'
import type { RigNode } from './redis-rig.js'
import {
  ailments,
  doubts,
  eventually,
  isHealthy,
  numbered,
  reaches,
  rigTimes,
  startRigNode,
  succeeds,
} from './redis-rig.js'

let server: RedisServer
const cleanups: (() => Promise<void>)[] = []
const unhandled: unknown[] = []
const onUnhandled = (reason: unknown): void => void unhandled.push(reason)

beforeEach(async () => {
  process.on('unhandledRejection', onUnhandled)
  server = await startRedis()
  cleanups.push(() => server.stop())
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  process.off('unhandledRejection', onUnhandled)
  expect(unhandled.splice(0)).toEqual([])
})

async function rig(...[url, options]: Partial<Parameters<typeof startRigNode>>): Promise<RigNode> {
  const node = await startRigNode(url ?? server.url, options)
  cleanups.push(() => node.stop())
  return node
}

async function healthy(...nodes: RigNode[]): Promise<void> {
  for (const node of nodes) await eventually('the node is healthy', () => isHealthy(node))
}

test('[F5] FLUSHALL: the node is doubted within a beat, stays alive, and claims go on with greater epochs', async () => {
  const node = await rig()
  await healthy(node)
  const before = await claimed(node, newPeer())
  await server.cli('FLUSHALL')
  await eventually('a doubt', () => doubts(node).length > 0)
  expect(new Set(node.beats)).toEqual(new Set(['alive']))
  expect(await node.backend.registry.reassert([before])).toEqual({ lost: [], evicted: [] })
  const after = await claimed(node, before.peer, { secretHash: before.secretHash })
  expect(after.epoch).toBeGreaterThan(before.epoch)
  expect(after.since).toBe(before.since)
})

test('[F5] Redis killed and restarted empty: names are written back, the bus is whole, epochs grow', async () => {
  const [a, b] = [await rig(), await rig()]
  await healthy(a, b)
  const lease = await claimed(a, newPeer())
  await server.kill()
  await eventually('the outage is noticed', () => !isHealthy(a) && !isHealthy(b))
  await eventually('the reason is told', () => ailments(a).at(-1)?.includes('ECONNREFUSED') ?? false)
  expect(await succeeds(a.backend.registry.lookup(lease.peer))).toBe(false)
  expect(await a.backend.bus.publish(b.node, numbered(0))).toBe('unavailable')
  await server.restart()
  const back = performance.now()
  await healthy(a, b)
  await eventually('the bus is whole', () => reaches(a, b))
  expect(performance.now() - back).toBeLessThan(5_000)
  expect(doubts(a)).toContain('connected to Redis again')
  expect(await a.backend.registry.reassert([lease])).toEqual({ lost: [], evicted: [] })
  expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
  const next = await claimed(b, lease.peer, { secretHash: lease.secretHash })
  expect(next.epoch).toBeGreaterThan(lease.epoch)
})

test('[CALL2] [CALL4] [F6] SIGSTOP: every call is refused within a second, memory stays flat, and all is well soon after CONT', async () => {
  const [a, b] = [await rig(), await rig()]
  await healthy(a, b)
  const lease = await claimed(a, newPeer())
  await server.pause()
  const { registry, bus, mailbox } = a.backend
  const timed = async (action: Promise<unknown>): Promise<number> => {
    const start = performance.now()
    expect(await succeeds(action)).toBe(false)
    return performance.now() - start
  }
  const took = await Promise.all([
    timed(registry.lookup(lease.peer)),
    timed(registry.renew([lease])),
    timed(registry.release(lease)),
    timed(registry.claim(newPeer(), ownerAt(a), { secretHash: newSecretHash(), policy: 'refuse' })),
    timed(mailbox.take(lease.peer)),
    timed(a.backend.nodes.beat()),
    timed(a.backend.presence.watch(newPeer())),
  ])
  expect(Math.max(...took)).toBeLessThan(1_000 + BUSY_MS)
  await flood(a, b)
  expect(await bus.publish(b.node, numbered(0))).toBe('unavailable')
  await server.resume()
  const back = performance.now()
  await healthy(a, b)
  await eventually('the bus is whole', () => reaches(a, b))
  expect(performance.now() - back).toBeLessThan(4_000)
})

// Far more than may wait: what is over the bound must be refused, not kept.
async function flood(a: RigNode, b: RigNode): Promise<void> {
  const frame = 'x'.repeat(2_000)
  const before = process.memoryUsage().rss
  const outcomes = { sent: 0, unavailable: 0 }
  const start = performance.now()
  for (let round = 0; round < 100; round++) {
    const results = Array.from({ length: 1_000 }, (_, i) => {
      const message = { from: newPeer(), to: newPeer(), wire: 'native', kind: 'message', frame } as const
      return a.backend.bus.publish(b.node, { type: 'deliver', epoch: i, hops: 0, message })
    })
    if (round % 20 === 0) void Promise.all(results).then((all) => all.forEach((one) => outcomes[one]++))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await eventually('every publish is answered', () => outcomes.sent + outcomes.unavailable === 5_000)
  expect(performance.now() - start).toBeLessThan(10_000)
  expect(outcomes.unavailable).toBeGreaterThan(0)
  // Unbounded, it would be 200 MB of frames and their copies.
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
}

test('[CALL2] [F6] what was asked of a frozen Redis is not done long after its caller has given up', async () => {
  const node = await rig()
  await healthy(node)
  await server.pause()
  const peer = newPeer()
  const claim = node.backend.registry.claim(peer, ownerAt(node), {
    secretHash: newSecretHash(),
    policy: 'refuse',
  })
  await expect(claim).rejects.toThrow(RegistryUnavailable)
  await new Promise((resolve) => setTimeout(resolve, defaultTimes.commandMs)) // the claim is now too old to be done
  await server.resume()
  await healthy(node)
  expect(await node.backend.registry.lookup(peer)).toBeUndefined()
})

test('[EAR3] [F11] a link that swallows everything is noticed within 3 s, and mended when it heals', async () => {
  const proxy = await startTcpProxy({ target: { host: server.host, port: server.port } })
  cleanups.push(() => proxy.stop())
  const [cut, other] = [await rig(`redis://127.0.0.1:${proxy.port}`), await rig()]
  await healthy(cut, other)
  for (const direction of ['both', 'up', 'down'] as const) {
    proxy.drop(direction)
    expect(await eventually('the cut is noticed', () => !isHealthy(cut))).toBeLessThan(3_000 + BUSY_MS)
    expect(isHealthy(other)).toBe(true)
    proxy.heal()
    await healthy(cut)
    await eventually('the bus is whole', () => reaches(other, cut))
  }
})

test('[EAR1] [F13] a subscriber that Redis drops is subscribed again, the gap is a doubt', async () => {
  const [a, b] = [await rig(), await rig()]
  await healthy(a, b)
  const peer = newPeer()
  const changes: string[] = []
  a.backend.presence.onChange((change) => changes.push(change.state))
  await a.backend.presence.watch(peer)
  for (let round = 1; round <= 3; round++) {
    expect(Number(await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub'))).toBeGreaterThanOrEqual(2)
    await eventually('the gap is doubted', () => doubts(a).length >= round && doubts(b).length >= round)
    await healthy(a, b)
    await eventually('the bus is whole', () => reaches(b, a))
  }
  const lease = await claimed(b, peer)
  await b.backend.registry.release(lease)
  await eventually('presence is heard again', () => changes.length === 2)
  expect(changes).toEqual(['online', 'offline'])
})

test('[EAR2] [F14] a subscription that is lost without a word is found by the canary within 8 s', async () => {
  const meddler = await startMeddler(server.port)
  cleanups.push(() => meddler.stop())
  const times = { ...defaultTimes }
  const [deaf, other] = [await rig(meddler.url, { times }), await rig()]
  await healthy(deaf, other)
  await eventually('the bus is whole', () => reaches(other, deaf))
  // Redis forgets the subscription and says nothing; the connection stays, and answers every ping.
  meddler.rewrite((text) => text.replace(/>3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu, ''))
  expect(meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', `pg:inbox:${deaf.node}`)).toBe(1)
  await eventually('the subscription is lost', async () => !(await reaches(other, deaf)))
  expect(isHealthy(deaf)).toBe(true)
  expect(await eventually('the canary is missed', () => !isHealthy(deaf))).toBeLessThan(8_000)
  await healthy(deaf)
  expect(doubts(deaf)).not.toEqual([])
  expect(deaf.errors.map((error) => error.stage)).toContain('canary')
  await eventually('the bus is whole', () => reaches(other, deaf))
})

test('[F14] a subscription that Redis takes away is asked for again at once', async () => {
  const meddler = await startMeddler(server.port)
  cleanups.push(() => meddler.stop())
  const [node, other] = [await rig(meddler.url, { times: defaultTimes }), await rig()]
  await healthy(node, other)
  await eventually('the bus is whole', () => reaches(other, node))
  meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', `pg:inbox:${node.node}`)
  await eventually('the gap is doubted', () => doubts(node).length > 0)
  expect(await eventually('the bus is whole', () => reaches(other, node))).toBeLessThan(2_000)
  expect(node.errors).toEqual([])
})

test('[F14] presence subscriptions that are lost with the rest come back with it', async () => {
  const meddler = await startMeddler(server.port)
  cleanups.push(() => meddler.stop())
  const [deaf, other] = [await rig(meddler.url), await rig()]
  await healthy(deaf, other)
  const peer = newPeer()
  const changes: string[] = []
  deaf.backend.presence.onChange((change) => changes.push(change.state))
  await deaf.backend.presence.watch(peer)
  meddler.rewrite((text) => text.replace(/>3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu, ''))
  meddler.say('peerage-subscriber', 'SUNSUBSCRIBE')
  await eventually('the canary is missed', () => !isHealthy(deaf))
  await healthy(deaf)
  await claimed(other, peer)
  await eventually('presence is heard again', () => changes.length > 0)
  expect(changes).toEqual(['online'])
})

test('[F24] out of memory, read-only and without replicas: clean refusals with Redis’s own words, then well again', async () => {
  const node = await rig()
  await healthy(node)
  const held = await claimed(node, newPeer())
  const refusal = async (): Promise<string> => {
    const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
    try {
      await node.backend.registry.claim(newPeer(), ownerAt(node), options)
      return ''
    } catch (error) {
      if (error instanceof RegistryUnavailable) return error.message
      throw error
    }
  }
  await server.cli('CONFIG', 'SET', 'maxmemory', '1')
  expect(await refusal()).toContain('OOM')
  expect(await node.backend.registry.lookup(held.peer)).toEqual(held)
  await server.cli('CONFIG', 'SET', 'maxmemory', '0')
  await eventually('claims go on', async () => (await refusal()) === '')

  await server.cli('CONFIG', 'SET', 'min-replicas-to-write', '1')
  expect(await refusal()).toContain('NOREPLICAS')
  await server.cli('CONFIG', 'SET', 'min-replicas-to-write', '0')
  await eventually('claims go on', async () => (await refusal()) === '')

  await server.cli('REPLICAOF', '127.0.0.1', '1')
  await eventually('the refusal says why', async () => (await refusal()).includes('READONLY'))
  await server.cli('REPLICAOF', 'NO', 'ONE')
  await eventually('claims go on', async () => (await refusal()) === '')
})

test('[I12] a node whose own clock stood still learns from Redis that it has lapsed, and names of it may be taken', async () => {
  let stopped: number | undefined
  const clock = { ...systemClock, monotonic: () => stopped ?? performance.now() }
  const times = { ...rigTimes, nodeLeaseMs: 1_000, graceMs: 300 }
  const [paused, other] = [
    await rig(server.url, { clock, times, beating: false }),
    await rig(server.url, { times }),
  ]
  const lease = await claimed(paused, newPeer())
  stopped = performance.now()
  const taken = async (): Promise<boolean> => {
    const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
    return (await other.backend.registry.claim(lease.peer, ownerAt(other), options)).ok
  }
  await eventually('the name is taken', taken)
  expect(await paused.backend.nodes.beat()).toBe('lapsed')
  expect(await paused.backend.registry.renew([lease])).toMatchObject([{ reason: 'another' }])
})

test('[CALL3] SCRIPT FLUSH: scripts are sent again, and no call fails', async () => {
  const node = await rig()
  await healthy(node)
  const lease = await claimed(node, newPeer())
  await server.cli('SCRIPT', 'FLUSH')
  const leases = await Promise.all(Array.from({ length: 100 }, () => claimed(node, newPeer())))
  await server.cli('SCRIPT', 'FLUSH')
  expect(await node.backend.registry.renew([lease, ...leases])).toEqual([])
})

test('[F23] junk that strangers put into our keys and channels harms nothing', async () => {
  const [a, b] = [await rig(), await rig()]
  await healthy(a, b)
  const { registry, presence, mailbox } = a.backend
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
    await server.cli('SET', `pg:{${peer}}:lease`, value)
    expect(await registry.lookup(peer)).toBeUndefined()
    expect(await registry.renew([{ ...(await claimed(b, newPeer())), peer }])).toMatchObject([
      { reason: 'absent' },
    ])
  }
  const overwritten = newPeer()
  await server.cli('SET', `pg:{${overwritten}}:lease`, 'junk')
  expect((await claimed(a, overwritten)).node).toBe(a.node)
  const wrongType = newPeer()
  await server.cli('RPUSH', `pg:{${wrongType}}:lease`, 'x')
  expect(await succeeds(registry.lookup(wrongType))).toBe(false)
  await server.cli('ZADD', 'pg:nodes', '1', 'not a node', '+inf', 'x')
  await server.cli('SET', `pg:{${wrongType}}:queue`, 'x')
  expect(await succeeds(mailbox.take(wrongType))).toBe(false)
  const heard: unknown[] = []
  presence.onChange((change) => heard.push(change))
  await presence.watch(overwritten)
  for (const payload of junk) await server.cli('SPUBLISH', `pg:{${overwritten}}:presence`, payload)
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

/** On top of a limit, for a machine on which others run too. */
const BUSY_MS = 500
