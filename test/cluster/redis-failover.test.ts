import { setTimeout as delay } from 'node:timers/promises'
import { claimed, newPeer } from '@peerage/core/testing'
import { afterEach, expect, test } from 'vitest'
import { startRedisCluster } from '../support/redis-cluster.js'
import { startSentinel } from '../support/redis-sentinel.js'
import type { RigNode } from './redis-rig.js'
import { doubts, eventually, isHealthy, reaches, startRigNode, succeeds } from './redis-rig.js'

const cleanups: (() => Promise<void>)[] = []
const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  expect(unhandled.splice(0)).toEqual([])
})

async function rigs(url: string): Promise<[RigNode, RigNode]> {
  const nodes = [await startRigNode(url), await startRigNode(url)] as const
  for (const node of nodes) {
    cleanups.push(() => node.stop())
    await eventually('the node is healthy', () => isHealthy(node))
  }
  await eventually('the bus is whole', () => reaches(nodes[0], nodes[1]))
  return [...nodes]
}

/** Names are claimed, envelopes and presence arrive: again and again. */
async function works(a: RigNode, b: RigNode): Promise<boolean> {
  const all = await Promise.all([
    reaches(a, b),
    reaches(b, a),
    ...Array.from({ length: 6 }, () => succeeds(claimed(a, newPeer()))),
  ])
  return all.every((one) => one)
}

/** The time from the fault to the last moment at which something did not work. */
async function outage(
  a: RigNode,
  b: RigNode,
  fault: () => Promise<unknown>,
  watchMs: number,
): Promise<number> {
  const start = performance.now()
  let lastFailure = start
  const faulted = fault()
  while (performance.now() - start < watchMs) {
    if (!(await works(a, b))) lastFailure = performance.now()
    await delay(20)
  }
  await faulted
  return lastFailure - start
}

/** On top of an expectation, for a machine on which others run too. */
const BUSY_MS = 1_000

test.each(['kill', 'stop'] as const)(
  '[F8] Sentinel: the master is lost by %s, all works within 6 s',
  async (how) => {
    const setup = await startSentinel()
    cleanups.push(() => setup.stop())
    const [a, b] = await rigs(setup.url)
    const held = await claimed(a, newPeer())
    await eventually('the replica has the name', () => hasCopy(setup.servers, held.peer))
    const tookMs = await outage(
      a,
      b,
      () => (how === 'kill' ? setup.killMaster() : setup.pauseMaster()),
      10_000,
    )
    console.log(`Sentinel, master lost by ${how}: ${tookMs.toFixed(0)} ms`)
    expect(tookMs).toBeLessThan(6_000 + BUSY_MS)
    expect(doubts(a)).not.toEqual([])
    expect(await b.backend.registry.lookup(held.peer)).toEqual(held)
    for (const node of [a, b]) await eventually('the node is healthy', () => isHealthy(node))
  },
)

test('[F8] Sentinel: a failover in good order', async () => {
  const setup = await startSentinel()
  cleanups.push(() => setup.stop())
  const [a, b] = await rigs(setup.url)
  const tookMs = await outage(a, b, () => setup.failover(), 6_000)
  console.log(`Sentinel, failover in good order: ${tookMs.toFixed(0)} ms`)
  expect(tookMs).toBeLessThan(6_000)
  expect(doubts(a)).not.toEqual([])
  for (const node of [a, b]) await eventually('the node is healthy', () => isHealthy(node))
})

test('[EAR4] [F9] Cluster: the slot of an inbox moves, envelopes arrive again within a second', async () => {
  const cluster = await startRedisCluster()
  cleanups.push(() => cluster.stop())
  const [a, b] = await rigs(cluster.url)
  const slot = await cluster.slot(`pg:inbox:${b.node}`)
  const owner = await cluster.owner(slot)
  const other = (await cluster.masters()).find((master) => master.id !== owner.id)
  if (!other) return expect.unreachable()
  const tookMs = await outage(a, b, () => cluster.moveSlot(slot, other), 3_000)
  console.log(`Cluster, slot moved: ${tookMs.toFixed(0)} ms`)
  expect(tookMs).toBeLessThan(1_000 + BUSY_MS)
  expect(doubts(b)).not.toEqual([])
  for (const node of [a, b]) await eventually('the node is healthy', () => isHealthy(node))
})

test('[F9] Cluster: a failover in good order, all works within a second', async () => {
  const cluster = await startRedisCluster()
  cleanups.push(() => cluster.stop())
  const [a, b] = await rigs(cluster.url)
  const owner = await cluster.owner(await cluster.slot(`pg:inbox:${b.node}`))
  const tookMs = await outage(a, b, () => cluster.failover(owner), 4_000)
  console.log(`Cluster, failover in good order: ${tookMs.toFixed(0)} ms`)
  expect(tookMs).toBeLessThan(1_000 + BUSY_MS)
  for (const node of [a, b]) await eventually('the node is healthy', () => isHealthy(node))
})

test('[F9] Cluster: the master of the inbox is killed, all works within 6 s', async () => {
  const cluster = await startRedisCluster()
  cleanups.push(() => cluster.stop())
  const [a, b] = await rigs(cluster.url)
  const owner = await cluster.owner(await cluster.slot(`pg:inbox:${b.node}`))
  const tookMs = await outage(a, b, () => owner.server.kill(), 10_000)
  console.log(`Cluster, master killed: ${tookMs.toFixed(0)} ms`)
  expect(tookMs).toBeLessThan(6_000 + BUSY_MS)
  expect(doubts(b)).not.toEqual([])
  for (const node of [a, b]) await eventually('the node is healthy', () => isHealthy(node))
})

async function hasCopy(
  servers: readonly { cli(...args: string[]): Promise<string> }[],
  peer: string,
): Promise<boolean> {
  const copies = await Promise.all(servers.map((server) => server.cli('GET', `pg:{${peer}}:lease`)))
  return copies.every((copy) => copy !== '')
}
