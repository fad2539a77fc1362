import { setTimeout as delay } from 'node:timers/promises'
import type { OnError, Times } from '@peerage/core'
import { Node, defaultTimes, systemClock } from '@peerage/core'
import { arrive, peerNamed } from '@peerage/test-support/testing/core.js'
import { createRedisBackend } from '@peerage/redis'
import { afterEach, expect, test } from 'vitest'
import { startRedisCluster } from '@peerage/test-support/redis-cluster.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { arriveAll } from './arrive-all.js'
import { startMeddler } from './meddler.js'
import { eventually } from './redis-rig.js'

// Whole nodes on a real Redis that loses its data, while strangers claim the lost names.

/** Short beats, so that a test need not wait, and leases longer than any pause of the machine. */
const times: Times = { ...defaultTimes, beatMs: 300, nodeLeaseMs: 60_000, nameTtlMs: 120_000 }
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startNode(url: string, own: Partial<Times> = {}): Promise<Node> {
  // Errors are expected, because Redis is sometimes down.
  const onError: OnError = () => {}
  const ownTimes = { ...times, ...own }
  const backend = createRedisBackend({ url, times: ownTimes, clock: systemClock, onError })
  const node = new Node({
    backend,
    times: ownTimes,
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

test('[SET2] [I9] after Redis is emptied without notice nobody takes a name before the next beat', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  // Beats so rare that none comes between the flush and the claims.
  const slow = { beatMs: 3_000 }
  const [a, b] = [await startNode(redis.url), await startNode(redis.url)]
  await becomeReady(a, b)
  const [late, later] = [await startNode(redis.url, slow), await startNode(redis.url, slow)]
  await eventually('the set is old enough', () => late.readiness().ready && later.readiness().ready, 30_000)
  const holders = await Promise.all(['one', 'two', 'three'].map((name) => arrive(late, name)))
  await redis.cli('FLUSHALL')
  const strangers = await Promise.all(
    ['one', 'two', 'three'].map((name) => arrive(later, name, { secret: 'guess' })),
  )
  for (const stranger of strangers) expect(stranger.outcome.ok).toBe(false)
  for (const holder of holders) expect(holder.connection.closed).toBeUndefined()
})

test('[SET1] [SET6] [I10] when Redis restarts empty while strangers claim, every name stays with its holder', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const nodes = await Promise.all([1, 2, 3].map(() => startNode(redis.url)))
  await becomeReady(...nodes)
  const at = (i: number): Node => nodes[i % nodes.length] ?? expect.unreachable()
  const names = Array.from({ length: 300 }, (_, i) => `peer ${i}`)
  const holders = await arriveAll(names, at)
  const before = holders.map(({ session }) => session.lease)
  // Thirty holders are away, and their names are reserved for them.
  await Promise.all(holders.slice(0, 30).map((holder, i) => at(i).end(holder.connection.id, 'dropped')))
  const outcomes = new Map<string, number>()
  const over = new AbortController()
  const storm = async (i: number): Promise<void> => {
    for (let n = i; !over.signal.aborted; n += 7) {
      const { connection, outcome } = await arrive(at(n + 1), names[n % names.length] ?? '', {
        secret: 'guess',
      })
      await at(n + 1).end(connection.id, 'left')
      // Without a pause, claims that are refused at once would starve the event loop.
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
  // On a busy machine, the claims of before may all have ended while Redis was away.
  await eventually('a stranger finds a name taken', () => (outcomes.get('name-taken') ?? 0) > 0)
  over.abort()
  await Promise.all(storms)
  expect(outcomes.get('won')).toBeUndefined()
  for (const holder of holders.slice(30)) expect(holder.connection.closed).toBeUndefined()
  // The peers that were away take their names back and are the same holders.
  const back = await arriveAll(names.slice(0, 30), (i) => at(i + 2))
  expect(back.map(({ session }) => session.lease.since)).toEqual(
    before.slice(0, 30).map(({ since }) => since),
  )
})

test('[SET7] [I2] epochs grow also when Redis comes back empty with a clock that is 30 s behind', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const meddler = await startMeddler(redis.port)
  cleanups.push(() => meddler.stop())
  const [a, b] = [await startNode(meddler.url), await startNode(meddler.url)]
  await becomeReady(a, b)
  const first = await arrive(a, 'alice')
  const { epoch } = first.session.lease
  await a.leave(first.session)
  // libfaketime does not work with Redis's allocator, so the scripts' source is changed to subtract 30 s. The new text has
  // the same length. After its restart Redis knows no script, so each is sent whole.
  meddler.rewriteSaid((text) => text.replaceAll('time[1] * 1000 + ', '(time[1]-30)*1e3+'))
  await redis.restart({ empty: true })
  const claim = async (): Promise<number | undefined> => {
    const claimer = await arrive(b, 'alice', { secret: 'other' })
    return claimer.outcome.ok ? claimer.session.lease.epoch : undefined
  }
  let again: number | undefined
  await eventually('the name can be claimed', async () => (again = await claim()) !== undefined)
  expect(again).toBeGreaterThan(epoch)
  // The scripts' clock alone would not have given a greater epoch.
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
  // The second node sees the age of the set, so it is ready at once.
  const b = await startNode(redis.url)
  expect(b.readiness()).toEqual({ ready: true })
})

test('[SET2] [I9] [I10] after one master of a Cluster is emptied, its names are back a beat later', async () => {
  const cluster = await startRedisCluster({ replicas: 0 })
  cleanups.push(() => cluster.stop())
  const [a, b] = [await startNode(cluster.url), await startNode(cluster.url)]
  await becomeReady(a, b)
  const names = Array.from({ length: 60 }, (_, i) => `peer ${i}`)
  const holders = await arriveAll(names, () => a)
  const before = holders.map(({ session }) => session.lease)
  const home = await cluster.owner(await cluster.slot('pg:nodes'))
  const other = cluster.nodes.find(({ id }) => id !== home.id) ?? expect.unreachable()
  await other.server.cli('FLUSHALL')
  // Strangers claim until each name is back. Those that win before the beat show how large the remaining window is.
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
  console.log(
    `one master of three emptied: strangers took ${won.size} of ${names.length} names before the next beat`,
  )
  for (const holder of holders) expect(holder.connection.closed).toBeUndefined()
})
