import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { IndexChange, IndexEntry, Times } from '@peerage/core'
import { Node, PARTITIONS, RegistryUnavailable, defaultTimes, partitionOf, systemClock } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { parseApp, parseName } from '@peerage/protocol'
import { createRedisBackend } from '@peerage/redis'
import { startRedisCluster } from '@peerage/test-support/redis-cluster.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { must, newNodeId } from '@peerage/test-support/testing/core.js'
import { afterEach, expect, test } from 'vitest'
import { arriveAll } from './arrive-all.js'
import { becomeHealthy, eventually, rigTimes, startRigNode } from './redis-rig.js'

/** Short beats, so that a test need not wait, and leases longer than any pause of the machine. */
const times: Times = { ...defaultTimes, beatMs: 300, nodeLeaseMs: 60_000, nameTtlMs: 120_000 }
const APP: App = must(parseApp('default'))
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startNode(url: string): Promise<Node> {
  // Errors are expected, because Redis is sometimes down.
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
  node.indexing.setIndexed(() => true)
  cleanups.push(() => node.stop())
  await node.start()
  await eventually('the node is ready', () => node.readiness().ready)
  return node
}

async function namesSeenBy(node: Node): Promise<string[]> {
  const { peers } = await node.listing.page(APP, undefined, 1_000)
  return peers.map(({ name }) => name).sort()
}

const seesAll = (node: Node, names: readonly string[]) => async (): Promise<boolean> =>
  JSON.stringify(await namesSeenBy(node).catch(() => [])) === JSON.stringify(names.toSorted())

const names = Array.from({ length: 200 }, (_, i) => `peer ${i}`)

test('[SET8] after Redis restarts empty, the index has all names again', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const [a, b] = [await startNode(redis.url), await startNode(redis.url)]
  await arriveAll(names, (i) => (i % 2 ? a : b))
  await eventually('all names are listed', seesAll(a, names))
  await redis.restart({ empty: true })
  await eventually('all names are listed again', seesAll(b, names))
  expect(await b.listing.count(APP)).toBe(names.length)
})

test('[SET8] after one master of a Cluster is emptied, the index has all names again', async () => {
  const cluster = await startRedisCluster({ replicas: 0 })
  cleanups.push(() => cluster.stop())
  const [a, b] = [await startNode(cluster.url), await startNode(cluster.url)]
  await arriveAll(names, (i) => (i % 2 ? a : b))
  await eventually('all names are listed', seesAll(a, names))
  const masters = new Set<string>()
  for (let k = 0; k < PARTITIONS; k++)
    masters.add((await cluster.owner(await cluster.slot(`pg:{${APP}#${k}}:names`))).id)
  expect(masters.size).toBe(3)
  const lost = cluster.nodes.find(({ id }) => masters.has(id))
  await lost?.server.cli('FLUSHALL')
  await eventually('all names are listed again', seesAll(b, names))
})

const entry = (text: string, epoch: number): IndexEntry => {
  return { name: must(parseName(text)), node: newNodeId(), state: 'online', since: epoch, epoch }
}

test('[KEY7] [KEY8] [CALL2] a write that Redis carries out too late changes nothing', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const quick = { ...rigTimes, commandMs: 400 }
  const [rig, other] = [await startRigNode(redis.url, { times: quick }), await startRigNode(redis.url)]
  cleanups.push(
    () => rig.stop(),
    () => other.stop(),
  )
  await becomeHealthy(rig, other)
  await redis.pause()
  const { index, records } = rig.backend
  const put: IndexChange = { type: 'put', entry: entry('alice', 1), over: 1, ttlMs: 60_000 }
  const refused = await Promise.allSettled([
    index.write(APP, 3, [put]),
    records.put(APP, 'bans', 'n:alice', 'x', 60_000, 10),
    records.delete(APP, 'bans', 'n:alice'),
  ])
  for (const one of refused) expect(one).toMatchObject({ reason: expect.any(RegistryUnavailable) })
  // Redis has the commands in its socket, and their time is over.
  await delay(200)
  await redis.resume()
  await eventually('Redis answers again', async () => {
    const seen = await other.backend.index.count(APP).catch(() => undefined)
    return seen !== undefined
  })
  expect(await other.backend.index.count(APP)).toBe(0)
  expect(await other.backend.records.get(APP, 'bans', ['n:alice'])).toEqual([undefined])
})

test('[KEY10] an entry of an index takes at most 450 bytes of memory in Redis', async () => {
  const redis = await startRedis()
  cleanups.push(() => redis.stop())
  const rig = await startRigNode(redis.url, { times: { ...rigTimes, commandMs: 10_000 } })
  cleanups.push(() => rig.stop())
  await becomeHealthy(rig)
  const entries = Array.from({ length: 32_000 }, () => entry(randomUUID(), Date.now()))
  for (let k = 0; k < PARTITIONS; k++) {
    const puts = entries
      .filter(({ name }) => partitionOf(name) === k)
      .map((one): IndexChange => ({ type: 'put', entry: one, over: one.epoch, ttlMs: 600_000 }))
    for (let from = 0; from < puts.length; from += 500)
      await rig.backend.index.write(APP, k, puts.slice(from, from + 500))
  }
  expect(await rig.backend.index.count(APP)).toBe(entries.length)
  let bytes = 0
  for (let k = 0; k < PARTITIONS; k++)
    for (const kind of ['', ':ends', ':places'])
      bytes += Number(await redis.cli('MEMORY', 'USAGE', `pg:{${APP}#${k}}:names${kind}`, 'SAMPLES', '0'))
  console.log(`Redis memory: ${(bytes / entries.length).toFixed(0)} bytes an entry`)
  expect(bytes / entries.length).toBeLessThanOrEqual(450)
})
