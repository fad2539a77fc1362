import { setTimeout as delay } from 'node:timers/promises'
import type { OnError, Times } from '@peerage/core'
import { Node, defaultTimes, systemClock } from '@peerage/core'
import { arrive, peerNamed } from '@peerage/test-support/testing/core.js'
import { createRedisBackend } from '@peerage/redis'
import { afterEach, expect, test } from 'vitest'
import { startRedisCluster } from '@peerage/test-support/redis-cluster.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { startMeddler } from './meddler.js'
import { eventually } from './redis-rig.js'

// Whole nodes on a real Redis that loses what it holds, with strangers at the door.

/** Beats are short, so that a test need not wait; the leases outlast any pause of the machine. */
const times: Times = { ...defaultTimes, beatMs: 300, nodeLeaseMs: 60_000, nameTtlMs: 120_000 }
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startNode(url: string, own: Partial<Times> = {}): Promise<Node> {
  // Redis is away, at times.
  const onError: OnError = () => {}
  const paces = { ...times, ...own }
  const backend = createRedisBackend({ url, times: paces, clock: systemClock, onError })
  const node = new Node({
    backend,
    times: paces,
    clock: systemClock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError,
    onEvent: () => {},
  })
  cleanups.push(() => node.stop())
  await node.start()
  return node
}

async function becomeReady(...nodes: Node[]): Promise<void> {
  for (const node of nodes) await eventually('the node is ready', () => node.readiness().ready)
}

test('[SET2] [I9] Redis is emptied without a word: nobody takes a name before the next beat', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  // No beat comes in between.
  const slow = { beatMs: 3_000 }
  const [a, b] = [await startNode(redis.url), await startNode(redis.url)]
  await becomeReady(a, b)
  const [late, later] = [await startNode(redis.url, slow), await startNode(redis.url, slow)]
  await eventually('the set is old enough', () => late.readiness().ready && later.readiness().ready, 30_000)
  const stays = await Promise.all(['one', 'two', 'three'].map((name) => arrive(late, name)))
  await redis.cli('FLUSHALL')
  const thieves = await Promise.all(
    ['one', 'two', 'three'].map((name) => arrive(later, name, { secret: 'guess' })),
  )
  for (const thief of thieves) expect(thief.outcome.ok).toBe(false)
  for (const stay of stays) expect(stay.connection.closed).toBeUndefined()
})

test('[SET1] [SET6] [I10] Redis restarts empty while strangers claim: every name stays with its holder', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const nodes = await Promise.all([1, 2, 3].map(() => startNode(redis.url)))
  await becomeReady(...nodes)
  const at = (i: number): Node => nodes[i % nodes.length] ?? expect.unreachable()
  const names = Array.from({ length: 300 }, (_, i) => `peer ${i}`)
  const stays = await Promise.all(names.map((name, i) => arrive(at(i), name)))
  const before = stays.map(({ session }) => session.lease)
  // Some wait for their holders.
  await Promise.all(stays.slice(0, 30).map((stay, i) => at(i).end(stay.connection.id, 'dropped')))
  const outcomes = new Map<string, number>()
  const over = new AbortController()
  const storm = async (i: number): Promise<void> => {
    for (let n = i; !over.signal.aborted; n += 7) {
      const { connection, outcome } = await arrive(at(n + 1), names[n % names.length] ?? '', {
        secret: 'guess',
      })
      await at(n + 1).end(connection.id, 'left')
      // Claims that are refused at once would leave Redis no turn.
      await delay(2)
      const code = outcome.ok ? 'won' : outcome.code
      outcomes.set(code, (outcomes.get(code) ?? 0) + 1)
    }
  }
  const storms = Array.from({ length: 7 }, (_, i) => storm(i))
  await redis.restart({ empty: true })
  const isBack = async (): Promise<boolean> => {
    const found = await Promise.all(
      names.map((name) =>
        at(0)
          .router.lookup(peerNamed(name))
          .catch(() => undefined),
      ),
    )
    return found.every((lease, i) => lease?.since === before[i]?.since)
  }
  await eventually('every name is back', isBack)
  over.abort()
  await Promise.all(storms)
  expect(outcomes.get('won')).toBeUndefined()
  expect(outcomes.get('name-taken')).toBeGreaterThan(0)
  for (const stay of stays.slice(30)) expect(stay.connection.closed).toBeUndefined()
  // Those that were away take their names back, as who they were.
  const back = await Promise.all(names.slice(0, 30).map((name, i) => arrive(at(i + 2), name)))
  expect(back.map(({ session }) => session.lease.since)).toEqual(
    before.slice(0, 30).map(({ since }) => since),
  )
})

test('[SET7] [I2] epochs grow also when Redis comes back empty, on a clock that is 30 s behind', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const meddler = await startMeddler(redis.port)
  cleanups.push(() => meddler.stop())
  const [a, b] = [await startNode(meddler.url), await startNode(meddler.url)]
  await becomeReady(a, b)
  const first = await arrive(a, 'alice')
  const { epoch } = first.session.lease
  await a.leave(first.session)
  // libfaketime and Redis's allocator do not bear each other, so the scripts read their clock another way. The text
  // has the same length; Redis knows none of the scripts after its restart, and each is sent whole, again and again.
  meddler.rewriteSaid((text) => text.replaceAll('time[1] * 1000 + ', '(time[1]-30)*1e3+'))
  await redis.restart({ empty: true })
  const claim = async (): Promise<number | undefined> => {
    const stay = await arrive(b, 'alice', { secret: 'other' })
    return stay.outcome.ok ? stay.session.lease.epoch : undefined
  }
  let again: number | undefined
  await eventually('the name can be claimed', async () => (again = await claim()) !== undefined)
  expect(again).toBeGreaterThan(epoch)
  // The clock of the scripts would not have done.
  const bornAt = -Number(await redis.cli('ZSCORE', 'pg:nodes', 'born'))
  expect(bornAt).toBeLessThan(epoch - 20_000)
})

test('[SET3] [I10] a first node is not ready before a beat and a command have passed', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const startedAt = performance.now()
  const a = await startNode(redis.url)
  expect(a.readiness()).toMatchObject({ ready: false })
  expect((await arrive(a, 'alice')).outcome).toEqual({ ok: false, code: 'registry-unavailable' })
  await becomeReady(a)
  expect(performance.now() - startedAt).toBeGreaterThan(times.beatMs + times.commandMs)
  expect((await arrive(a, 'alice')).outcome.ok).toBe(true)
  // The next one knows from the set that it is old.
  const b = await startNode(redis.url)
  expect(b.readiness()).toEqual({ ready: true })
})

test('[SET2] [I9] [I10] one master of a Cluster is emptied: a beat later nobody takes its names', async () => {
  const cluster = await startRedisCluster({ replicas: 0 })
  cleanups.push(() => cluster.stop())
  const [a, b] = [await startNode(cluster.url), await startNode(cluster.url)]
  await becomeReady(a, b)
  const names = Array.from({ length: 60 }, (_, i) => `peer ${i}`)
  const stays = await Promise.all(names.map((name) => arrive(a, name)))
  const before = stays.map(({ session }) => session.lease)
  const home = await cluster.owner(await cluster.slot('pg:nodes'))
  const other = cluster.nodes.find(({ id }) => id !== home.id) ?? expect.unreachable()
  await other.server.cli('FLUSHALL')
  // The claims of strangers, until each name is back. How many won before the beat is the window that is left.
  const won = new Set<string>()
  const isBack = async (): Promise<boolean> => {
    const found = await Promise.all(names.map((name) => b.router.lookup(peerNamed(name))))
    return found.every((lease, i) => lease?.since === before[i]?.since)
  }
  await eventually('every name is back', async () => {
    const outcomes = await Promise.all(names.map((name) => arrive(b, name, { secret: 'guess' })))
    for (const [i, { outcome }] of outcomes.entries()) if (outcome.ok) won.add(names[i] ?? '')
    return isBack()
  })
  console.log(`one master of three emptied: strangers had ${won.size} of ${names.length} names for a moment`)
  for (const stay of stays) expect(stay.connection.closed).toBeUndefined()
})
