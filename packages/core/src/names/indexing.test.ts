import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseApp } from '@peerage/protocol'
import type { App, Name } from '@peerage/protocol'
import type { Node } from '../node.js'
import type { Arrival } from '../testing/peers.js'
import { arrive, peerNamed } from '../testing/peers.js'
import { must } from '../testing/cluster.js'
import type { TestCluster } from '../testing/nodes.js'
import { addNode, cutOf, cutOff, testCluster, two } from '../testing/nodes.js'
import { RENEW_ROUND_BEATS } from '../times.js'
import type { IndexChange } from './name-index.js'
import type { ListCursor } from './listing.js'
import { PARTITIONS, partitionOf } from './name-index.js'
import { RegistryUnavailable } from './registry.js'

const APP: App = must(parseApp('default'))
/** Longer than the pause after a write of the index. */
const SOON_MS = 400
const ROUND_MS = RENEW_ROUND_BEATS * 2_000

function foldedFnv(bytes: readonly number[]): number {
  let hash = 0x811c9dc5n
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn
  return Number((hash ^ (hash >> 16n)) & 15n)
}

/** All names of the index, however they are spread over its partitions. */
async function listed(node: Node): Promise<Record<string, string>> {
  const { peers, next } = await node.listing.page(APP, undefined, 10_000)
  expect(next).toBeUndefined()
  return Object.fromEntries(peers.map(({ name, state, since }) => [name, `${state} ${since}`]))
}

async function looked(node: Node, names: readonly string[]): Promise<Record<string, string>> {
  const seen = await node.lookup(names.map((name) => peerNamed(name)))
  const pairs = names.map((name, i) => [name, `${seen[i]?.state} ${seen[i]?.since}`] as const)
  return Object.fromEntries(pairs.filter(([, text]) => !text.startsWith('offline')))
}

/** Records what a node writes to the index. */
function writesOf(made: Pick<TestCluster, 'cuts'>, node: Node): IndexChange[][] {
  const { index } = cutOf(made.cuts, node).backend
  const write = index.write.bind(index)
  const writes: IndexChange[][] = []
  Object.assign(cutOf(made.cuts, node).backend.index, {
    write: (...args: Parameters<typeof write>) => {
      writes.push([...args[2]])
      return write(...args)
    },
  })
  return writes
}

async function indexed(): Promise<Awaited<ReturnType<typeof two>>> {
  const made = await two()
  for (const node of made.nodes) node.indexing.setIndexed(() => true)
  return made
}

test('names spread evenly over the partitions', () => {
  for (const pattern of [(i: number) => `peer-${i}`, (i: number) => `user:${i}@example`, String]) {
    const counts = Array.from({ length: PARTITIONS }, () => 0)
    for (let i = 0; i < 16_000; i++) {
      const partition = partitionOf(pattern(i) as Name)
      counts[partition] = (counts[partition] ?? 0) + 1
    }
    expect(Math.min(...counts)).toBeGreaterThan(800)
    expect(Math.max(...counts)).toBeLessThan(1_200)
  }
})

test('[KEY6] the partition of a name is its folded FNV-1a hash', () => {
  // Published vectors of 32-bit FNV-1a: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
  expect(partitionOf('a' as Name)).toBe((0xe40c292c ^ 0xe40c) & 15)
  expect(partitionOf('foobar' as Name)).toBe((0xbf9cf968 ^ 0xbf9c) & 15)
  // The bytes of «ä» are c3 a4.
  expect(partitionOf('ä' as Name)).toBe(foldedFnv([0xc3, 0xa4]))
})

test('a peer is listed on all nodes from its claim until it leaves', async () => {
  const { a, b, clock, times } = await indexed()
  const alice = await arrive(a, 'alice')
  const bob = await arrive(a, 'bob')
  const { since } = alice.session.lease
  await clock.advance(SOON_MS)
  const expected = {
    alice: `online ${since}`,
    bob: `online ${bob.session.lease.since}`,
  }
  expect(await listed(b)).toEqual(expected)
  expect(await b.listing.count(APP)).toBe(2)
  expect(await b.listing.online(APP, 10)).toEqual({
    names: expect.arrayContaining(['alice', 'bob']),
    complete: true,
  })
  expect(await b.listing.online(APP, 1)).toMatchObject({ complete: false })
  await a.end(alice.connection.id, 'dropped')
  await a.leave(bob.session)
  await clock.advance(SOON_MS)
  expect(await listed(b)).toEqual({ alice: `away ${since}` })
  expect((await b.listing.online(APP, 10)).names).toEqual([])
  await clock.advance(times.graceMs)
  expect(await listed(b)).toEqual({})
  expect(await b.listing.count(APP)).toBe(0)
})

test('a peer that asks the node that it is connected to finds itself at once', async () => {
  const { a } = await indexed()
  for (const name of ['alice', 'bob', 'carol']) {
    await arrive(a, name)
    expect(Object.keys(await listed(a))).toContain(name)
  }
})

test('a page has at most the given number, and the cursor continues it over all partitions', async () => {
  const { a, b, clock } = await indexed()
  const names = Array.from({ length: 50 }, (_, i) => `peer-${i}`)
  for (const name of names) await arrive(a, name)
  await clock.advance(SOON_MS)
  const seen: string[] = []
  let cursor: ListCursor | undefined
  do {
    const page = await b.listing.page(APP, cursor, 7)
    expect(page.peers.length).toBeLessThanOrEqual(7)
    seen.push(...page.peers.map(({ name }) => name))
    cursor = page.next
  } while (cursor !== undefined)
  expect(seen.toSorted()).toEqual(names.toSorted())
})

test('a name that is not listed, and the names of an app without an index, cause no write', async () => {
  const made = await two()
  const { a, b, clock } = made
  const writes = writesOf(made, a)
  a.indexing.setIndexed((app) => app !== APP)
  const alice = await arrive(a, 'alice')
  await a.leave(alice.session)
  a.indexing.setIndexed(() => true)
  const server = await arrive(a, 'server', { isListed: false })
  await clock.advance(ROUND_MS)
  await a.end(server.connection.id, 'dropped')
  await clock.advance(SOON_MS)
  made.cluster.flush()
  await clock.advance(2_000)
  // Dropping an entry that is not there would be a write, too.
  expect(writes.flat().filter((change) => change.type === 'put')).toEqual([])
  expect(await listed(b)).toEqual({})
})

test('the names of an app that gets an index later are written at once', async () => {
  const { a, b, clock } = await two()
  const alice = await arrive(a, 'alice')
  await clock.advance(SOON_MS)
  expect(await listed(b)).toEqual({})
  a.indexing.setIndexed(() => true)
  await clock.advance(SOON_MS)
  expect(await listed(b)).toEqual({ alice: `online ${alice.session.lease.since}` })
})

test('[SET8] a flood of claims is written in a few batches, and no claim waits for one', async () => {
  const made = await indexed()
  const { a, b, clock } = made
  await clock.advance(SOON_MS)
  const writes = writesOf(made, a)
  const { index } = cutOf(made.cuts, a).backend
  const write = index.write.bind(index)
  let release = (): void => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  Object.assign(index, { write: (...args: Parameters<typeof write>) => held.then(() => write(...args)) })
  for (let i = 0; i < 1_000; i++) await arrive(a, `peer-${i}`)
  // The claims and this beat have ended although no write has.
  await clock.advance(3_000)
  expect(a.readiness()).toEqual({ ready: true })
  release()
  await clock.advance(SOON_MS)
  expect(await b.listing.count(APP)).toBe(1_000)
  expect(writes.length).toBeLessThan(60)
})

test('a change for a former claim does not replace one that waits for a newer claim', async () => {
  const { a, b, clock } = await indexed()
  const first = await arrive(a, 'alice')
  const second = await arrive(a, 'alice')
  await a.end(first.connection.id, 'dropped')
  await clock.advance(SOON_MS)
  expect(second.session.lease.epoch).toBeGreaterThan(first.connection.closed === 'superseded' ? 0 : Infinity)
  expect(await listed(b)).toEqual({ alice: `online ${second.session.lease.since}` })
})

test('a write that failed is made at a later beat, with what changed meanwhile', async () => {
  const { a, b, clock, cuts, times, errors } = await indexed()
  const { index } = cutOf(cuts, a).backend
  const write = index.write.bind(index)
  Object.assign(index, { write: () => Promise.reject(new RegistryUnavailable('not now')) })
  const alice = await arrive(a, 'alice')
  const bob = await arrive(a, 'bob')
  await clock.advance(3 * times.beatMs)
  expect(await listed(b)).toEqual({})
  expect(errors.length).toBeGreaterThan(0)
  await a.leave(alice.session)
  Object.assign(index, { write })
  await clock.advance(times.beatMs + SOON_MS)
  expect(await listed(b)).toEqual({ bob: `online ${bob.session.lease.since}` })
})

test('a node keeps a limited number of changes during an outage of the index, and then writes all its names', async () => {
  const { a, b, clock, cuts, times, errors } = await indexed()
  const { index } = cutOf(cuts, a).backend
  const write = index.write.bind(index)
  Object.assign(index, { write: () => Promise.reject(new RegistryUnavailable('not now')) })
  const stays = await arrive(a, 'stays')
  const gone = { ...stays.session.lease }
  for (let i = 0; i < 50_001; i++) a.leases.forget({ ...gone, peer: peerNamed(`gone-${i}`) })
  expect(errors.some((error) => String(error).includes('too many changes of the index'))).toBe(true)
  await clock.advance(times.beatMs)
  Object.assign(index, { write })
  await clock.advance(times.beatMs + SOON_MS)
  expect(await listed(b)).toEqual({ stays: `online ${stays.session.lease.since}` })
})

test('[SET8] after a flush, the index has all names again, away ones too', async () => {
  const { a, b, clock, cluster, times } = await indexed()
  const alice = await arrive(a, 'alice')
  const bob = await arrive(b, 'bob')
  await b.end(bob.connection.id, 'dropped')
  await clock.advance(SOON_MS)
  const before = await listed(a)
  expect(Object.keys(before)).toHaveLength(2)
  cluster.flush()
  await clock.advance(times.beatMs)
  expect(await listed(b)).toEqual(before)
  expect(alice.connection.closed).toBeUndefined()
})

test('[I15] entries that are lost unnoticed are back after a round of renewals', async () => {
  const { a, b, clock, cluster } = await indexed()
  for (let i = 0; i < 40; i++) await arrive(a, `peer-${i}`)
  await clock.advance(SOON_MS)
  const before = await listed(b)
  cluster.forgetIndex()
  expect(await listed(b)).toEqual({})
  await clock.advance(ROUND_MS + SOON_MS)
  expect(await listed(b)).toEqual(before)
})

test('[SET8] names of a dead node are away, then left out, and no longer counted when their entries have ended', async () => {
  const { a, b, clock, cuts, times } = await indexed()
  const alice = await arrive(a, 'alice')
  await clock.advance(SOON_MS)
  cutOff(cuts, a, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  expect(await listed(b)).toEqual({ alice: `away ${alice.session.lease.since}` })
  await clock.advance(times.graceMs)
  expect(await listed(b)).toEqual({})
  const thief = await arrive(b, 'alice', { secret: 'another' })
  await clock.advance(SOON_MS)
  expect(await listed(b)).toEqual({ alice: `online ${thief.session.lease.since}` })
  await b.leave(thief.session)
  await clock.advance(times.nameTtlMs)
  expect(await b.listing.count(APP)).toBe(0)
})

test('a node that lapsed moves its entries, and removes those of names that others took meanwhile', async () => {
  const { a, b, clock, cuts, times } = await indexed()
  const alice = await arrive(a, 'alice')
  await arrive(a, 'bob')
  await clock.advance(SOON_MS)
  cutOff(cuts, a, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  const moved = await arrive(b, 'bob')
  await b.leave(moved.session)
  const former = a.id
  cutOff(cuts, a, false)
  await clock.advance(2 * times.beatMs)
  expect(a.id).not.toBe(former)
  await clock.advance(ROUND_MS)
  const { peers } = await b.listing.page(APP, undefined, 10)
  expect(peers.find(({ name }) => name === 'alice')).toMatchObject({
    node: a.id,
    since: alice.session.lease.since,
  })
  expect(await listed(b)).toEqual(await looked(b, ['alice', 'bob']))
})

test('a claim that lost against an older one makes way for it in the index at once', async () => {
  const { a, b, clock, cluster, cuts, times } = await indexed()
  const alice = await arrive(a, 'alice')
  const { registry } = cutOf(cuts, b).backend
  await clock.advance(SOON_MS)
  cluster.forget(peerNamed('alice'))
  const thief = await arrive(b, 'alice', { secret: 'guess' })
  expect(thief.outcome.ok).toBe(true)
  expect((await registry.lookup(peerNamed('alice')))?.node).toBe(b.id)
  await clock.advance(SOON_MS)
  expect(await listed(a)).toEqual({ alice: `online ${thief.session.lease.since}` })
  await clock.advance(ROUND_MS + times.beatMs)
  expect(await listed(b)).toEqual({ alice: `online ${alice.session.lease.since}` })
})

test('a node that stops has written that its names are away', async () => {
  const { a, b } = await indexed()
  const { since } = (await arrive(a, 'alice')).session.lease
  await a.stop()
  expect(await listed(b)).toEqual({ alice: `away ${since}` })
})

const NAMES = ['alice', 'bob', 'carol', 'dave']

type Step =
  | { do: 'arrive'; node: number; name: number; secret: number }
  | { do: 'end'; which: number; how: 'dropped' | 'left' }
  | { do: 'cut' | 'join'; node: number }
  | { do: 'flush' | 'lose index' }
  | { do: 'forget'; name: number }
  | { do: 'pass'; ms: number }

const nat = fc.nat({ max: 30 })
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant('arrive' as const), node: nat, name: nat, secret: nat }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('end' as const),
        which: nat,
        how: fc.constantFrom('dropped' as const, 'left' as const),
      }),
    },
    fc.record({ do: fc.constantFrom('cut' as const, 'join' as const), node: nat }),
    fc.record({ do: fc.constantFrom('flush' as const, 'lose index' as const) }),
    fc.record({ do: fc.constant('forget' as const), name: nat }),
    { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat({ max: 60_000 }) }) },
  ),
  { maxLength: 40, size: 'max' },
)

test(
  'whatever happens, the index equals the registry two rounds of renewals later',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const made = await testCluster(3)
        for (const node of made.nodes) node.indexing.setIndexed(() => true)
        await made.clock.advance(made.times.beatMs)
        const arrivals: { node: Node; arrival: Arrival; ended: boolean }[] = []
        for (const step of all) await run(made, arrivals, step)
        for (const node of made.nodes) cutOff(made.cuts, node, false)
        // A node that was cut off takes a beat to lapse and to move its names. In the first round, nodes find claims of
        // others that the registry had forgotten, and change the registry. In the second they write what it has now.
        await made.clock.advance(2 * made.times.beatMs + 2 * ROUND_MS + SOON_MS)
        const [node] = made.nodes
        if (node === undefined) throw new Error('there is no node')
        expect(await listed(node)).toEqual(await looked(node, NAMES))
        for (const one of made.nodes) await one.stop()
      }),
      { numRuns: 150 },
    )
  },
)

async function run(
  { nodes, cuts, cluster, clock }: TestCluster,
  arrivals: { node: Node; arrival: Arrival; ended: boolean }[],
  step: Step,
): Promise<void> {
  const at = (index: number): Node => {
    const node = nodes[index % nodes.length]
    if (node === undefined) throw new Error('there is no node')
    return node
  }
  switch (step.do) {
    case 'arrive': {
      const node = at(step.node)
      const name = NAMES[step.name % NAMES.length] ?? 'alice'
      const secret = `secret ${step.secret % 2}`
      // A claim may wait for other nodes to settle.
      const arriving = arrive(node, name, { secret })
      await clock.advance(1_000)
      arrivals.push({ node, arrival: await arriving, ended: false })
      return
    }
    case 'end': {
      const open = arrivals.filter(({ ended }) => !ended)
      const chosen = open[step.which % Math.max(1, open.length)]
      if (chosen === undefined) return
      chosen.ended = true
      await chosen.node.end(chosen.arrival.connection.id, step.how)
      return
    }
    case 'cut':
    case 'join':
      return cutOff(cuts, at(step.node), step.do === 'cut')
    case 'flush':
      return cluster.flush()
    case 'lose index':
      return cluster.forgetIndex()
    case 'forget':
      return cluster.forget(peerNamed(NAMES[step.name % NAMES.length] ?? ''))
    case 'pass':
      return clock.advance(step.ms)
  }
}

test('a node that starts later sees the same list', async () => {
  const made = await indexed()
  await arrive(made.a, 'alice')
  await made.clock.advance(SOON_MS)
  const late = await addNode(made)
  expect(await listed(late)).toEqual(await listed(made.a))
})
