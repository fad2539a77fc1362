import type { Backend } from '@peerage/core'
import { defaultTimes, memoryCluster, RegistryUnavailable } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test } from 'vitest'
import type { Frame } from '../../testing/tracker.js'
import {
  announceOf,
  announced,
  bytes20,
  frameWith,
  framesOf,
  offersOf,
  startTracker,
} from '../../testing/tracker.js'
import type { SocketOptions } from '../shared/gateway.js'
import { closeWires } from '../../testing/wire-fixture.js'

afterEach(closeWires)

/** Two nodes with one store and one clock. */
async function startTwo(settings: Partial<SocketOptions> = {}) {
  const time = new FakeClock()
  const cluster = memoryCluster({ clock: time })
  const [a, b] = [await startTracker({ time, cluster }, settings), await startTracker({ time, cluster })]
  // Each node has seen the other one.
  await time.advance(2_000)
  return { a, b, time, cluster }
}

/** A node that does not beat is dead for the others. */
function beatsUnless({ nodes, ...backend }: Backend, isDead: () => boolean): Backend {
  const away = (): Promise<never> => Promise.reject(new RegistryUnavailable('away'))
  return {
    ...backend,
    nodes: {
      beat: (settled) => (isDead() ? away() : nodes.beat(settled)),
      refresh: () => nodes.refresh(),
      view: () => nodes.view(),
      presented: () => nodes.presented(),
      status: (node) => nodes.status(node),
      list: () => nodes.list(),
      announce: (text) => nodes.announce(text),
      announced: (node) => nodes.announced(node),
      leave: () => nodes.leave(),
    },
  }
}

const counts = (complete: number, incomplete: number): Frame => ({ complete, incomplete })

describe('announces', () => {
  test('[WT1] the app is a part of the path, and swarms of different apps are different', async () => {
    const settings = { apps: { default: {}, chess: {} } }
    const { connect } = await startTracker({ settings })
    const [plain, slash, chess, deep] = [
      '/announce',
      '/announce/',
      '/announce/chess',
      '/announce/chess/x',
    ].map((path) => connect(path))
    if (!plain || !slash || !chess || !deep) throw new Error('unreachable')
    expect(await announced(plain, 's', 'a')).toMatchObject(counts(0, 1))
    expect(await announced(slash, 's', 'b')).toMatchObject(counts(0, 2))
    expect(await announced(chess, 's', 'c')).toMatchObject(counts(0, 1))
    expect(await announced(deep, 's', 'd')).toMatchObject(counts(0, 2))
  })

  test('[WT4] complete counts the members that have the whole file', async () => {
    const { connect } = await startTracker()
    const peer = connect('/announce')
    expect(await announced(peer, 's', 'a', { left: 0 })).toMatchObject(counts(1, 0))
    expect(await announced(peer, 's', 'b', { left: 5, event: 'started' })).toMatchObject(counts(1, 1))
    expect(await announced(peer, 's', 'b', { event: 'completed' })).toMatchObject(counts(2, 0))
  })

  test('[WT4] a member that has the whole file keeps it, whatever a late announce says, until it stops', async () => {
    const { connect } = await startTracker()
    const peer = connect('/announce')
    await announced(peer, 's', 'a')
    expect(await announced(peer, 's', 'b', { event: 'completed' })).toMatchObject(counts(1, 1))
    expect(await announced(peer, 's', 'b')).toMatchObject(counts(1, 1))
    expect(await announced(peer, 's', 'b', { left: 1 })).toMatchObject(counts(1, 1))
    expect(await announced(peer, 's', 'b', { event: 'started', left: 1 })).toMatchObject(counts(1, 1))
    expect(await announced(peer, 's', 'b', { event: 'stopped' })).toMatchObject(counts(0, 1))
    expect(await announced(peer, 's', 'b', { event: 'started', left: 1 })).toMatchObject(counts(0, 2))
  })

  test('[WT4] a seeder that changes its socket and its node stays one', async () => {
    const { a, b } = await startTwo()
    const [former, later] = [a.connect('/announce'), b.connect('/announce')]
    await announced(former, 's', 'a', { left: 0 })
    expect(await announced(later, 's', 'a')).toMatchObject(counts(1, 0))
    await former.close()
    await expect.poll(() => a.node.sessions.count).toBe(0)
    expect(await announced(later, 's', 'a')).toMatchObject(counts(1, 0))
  })

  test('[WT5] the reply comes before any offer, and has an interval within a tenth of the setting', async () => {
    const { connect, clock } = await startTracker()
    const peer = connect('/announce')
    await announced(peer, 's', 'a')
    await clock.advance(40_000)
    const intervals = new Set<unknown>()
    for (let n = 0; n < 30; n++) intervals.add((await announced(peer, 's', 'a')).interval)
    expect(Math.min(...[...intervals].map(Number))).toBeGreaterThanOrEqual(108)
    expect(Math.max(...[...intervals].map(Number))).toBeLessThanOrEqual(132)
    expect(intervals.size).toBeGreaterThan(1)
    expect(JSON.parse(peer.frames[0] ?? '')).toEqual({
      action: 'announce',
      interval: expect.any(Number),
      ...counts(0, 1),
      info_hash: bytes20('s'),
    })
  })

  test('[WT5] a newcomer of a small swarm announces again soon, and then later and later', async () => {
    const { connect, clock } = await startTracker()
    const peer = connect('/announce')
    const at: number[] = []
    for (let ms = 0; at.length < 6;) {
      at.push(ms / 1_000)
      const interval = Number((await announced(peer, 's', 'a')).interval) * 1_000
      await clock.advance(interval)
      ms += interval
    }
    // 0, 15, 75, 195, 315 and 435, and a tenth of each step more or less.
    for (const [n, due] of [0, 15, 75, 195, 315, 435].entries())
      expect(Math.abs((at[n] ?? 0) - due)).toBeLessThanOrEqual(due / 5)
    expect((await announced(peer, 't', 'a')).interval).toBeLessThan(20)
    // The first announces of trystero come within two seconds.
    await clock.advance(1_300)
    expect((await announced(peer, 't', 'a')).interval).toBeLessThanOrEqual(21)
    expect((await announced(peer, 't', 'a', { event: 'stopped' })).interval).toBeGreaterThan(100)
    expect((await announced(peer, 't', 'a')).interval).toBeLessThan(20)
  })

  test('[WT5] a newcomer of a large swarm, and one where the setting is shorter, has the interval of the setting', async () => {
    const { connect } = await startTracker()
    for (let n = 0; n < 50; n++)
      expect((await announced(connect('/announce'), 's', `${n}`)).interval).toBeLessThan(20)
    expect((await announced(connect('/announce'), 's', 'last')).interval).toBeGreaterThan(100)
    const short = await startTracker({}, { intervalMs: 5_000 })
    expect((await announced(short.connect('/announce'), 's', 'a')).interval).toBeOneOf([5, 6])
  })

  test('[WT6] completed and update without offers get a reply only, whatever numwant says', async () => {
    const { connect } = await startTracker()
    const [a, b] = [connect('/announce'), connect('/announce')]
    await announced(a, 's', 'a')
    await announced(b, 's', 'b', { numwant: 50, event: 'completed' })
    await announced(a, 's', 'a')
    expect(framesOf(a, 'offer')).toEqual([])
  })
})

describe('offers and answers', () => {
  test('[WT7] offers go to other members on any node, one to each, and answers come back', async () => {
    const { a, b } = await startTwo()
    const [one, two, three] = [a.connect('/announce'), b.connect('/announce'), b.connect('/announce')]
    await announced(two, 's', 'two')
    await announced(three, 's', 'three')
    await announced(one, 's', 'one', { offers: offersOf('one', 5) })
    const got = [await frameWith(two, 'offer'), await frameWith(three, 'offer')]
    const sent = offersOf('one', 5).slice(0, 2)
    for (const frame of got)
      expect(frame).toMatchObject({ action: 'announce', peer_id: bytes20('one'), info_hash: bytes20('s') })
    expect(got.map(({ offer, offer_id: id }) => ({ offer, offer_id: id }))).toEqual(
      expect.arrayContaining(sent),
    )
    const answer = { answer: { type: 'answer', sdp: 'v=0\r\n' }, offer_id: got[0]?.offer_id }
    two.send(announceOf('s', 'two', { ...answer, to_peer_id: bytes20('one') }))
    expect(await frameWith(one, 'answer')).toEqual({
      ...announceOf('s', 'two'),
      ...answer,
    })
    expect(framesOf(one, 'offer')).toEqual([])
    expect(a.seen.filter((text) => text === 'signal forwarded')).toHaveLength(2)
  })

  test('[WT7] a member gets no offers of its own, of other swarms, or more than one of an announce', async () => {
    const { connect } = await startTracker()
    const [one, two] = [connect('/announce'), connect('/announce')]
    await announced(two, 'other', 'two')
    await announced(two, 's', 'two')
    await announced(one, 's', 'one', { offers: offersOf('one', 80) })
    await announced(one, 's', 'one')
    await announced(two, 's', 'two')
    expect(framesOf(one, 'offer')).toEqual([])
    expect(framesOf(two, 'offer')).toHaveLength(1)
  })

  test('[WT6] [WT7] members are drawn at random, so each gets an offer, and an offer_id may come again', async () => {
    const { connect } = await startTracker()
    const one = connect('/announce')
    const rest = Array.from({ length: 10 }, () => connect('/announce'))
    for (const [n, peer] of rest.entries()) await announced(peer, 's', `member-${n}`)
    // That one of ten is never drawn in 200 draws happens once in a hundred million times.
    for (let n = 0; n < 200; n++) await announced(one, 's', 'one', { offers: offersOf('one', 1) })
    for (const peer of rest) expect(await frameWith(peer, 'offer')).toMatchObject(offersOf('one', 1)[0] ?? {})
  })

  test('[WT8] an answer for nobody, and one that nobody asked for, is dropped without a word', async () => {
    const { a, b } = await startTwo()
    const [one, two] = [a.connect('/announce'), b.connect('/announce')]
    await announced(one, 's', 'one')
    await two.opened()
    const answer = { answer: { type: 'answer', sdp: 'x' }, offer_id: bytes20('o') }
    two.send(announceOf('s', 'two', { ...answer, to_peer_id: bytes20('nobody') }))
    two.send(announceOf('t', 'two', { ...answer, to_peer_id: bytes20('one') }))
    two.send(announceOf('s', 'two', { ...answer, to_peer_id: bytes20('two') }))
    await announced(two, 's', 'two')
    expect(framesOf(two)).toHaveLength(1)
    expect(framesOf(one)).toHaveLength(1)
    expect(b.seen.filter((text) => text === 'signal unavailable')).toHaveLength(3)
  })

  test('[WT8] an answer needs no announce before it, because its offer may have come over another socket', async () => {
    const { connect } = await startTracker()
    const [one, two] = [connect('/announce'), connect('/announce')]
    await announced(one, 's', 'one')
    await two.opened()
    const answer = { answer: { type: 'answer', sdp: 'x' }, offer_id: bytes20('o') }
    two.send(announceOf('s', 'two', { ...answer, to_peer_id: bytes20('one') }))
    expect(await frameWith(one, 'answer')).toMatchObject({ peer_id: bytes20('two') })
  })
})

describe('the end of a membership', () => {
  test('[WT10] stopped leaves the swarm, and is answered', async () => {
    const { connect } = await startTracker()
    const [one, two] = [connect('/announce'), connect('/announce')]
    await announced(one, 's', 'one')
    await announced(two, 's', 'two', { left: 0 })
    expect(await announced(one, 's', 'one', { event: 'stopped', numwant: 50 })).toMatchObject(counts(1, 0))
    await announced(two, 's', 'two', { offers: offersOf('two', 5) })
    await announced(one, 't', 'one')
    expect(framesOf(one, 'offer')).toEqual([])
  })

  test('[WT10] a socket has several members, and all of them go with it, on every node', async () => {
    const { a, b, cluster } = await startTwo()
    const [one, two] = [a.connect('/announce'), b.connect('/announce')]
    await announced(one, 's', 'one')
    await announced(one, 's', 'other', { left: 0 })
    await announced(one, 't', 'one')
    expect(await announced(two, 's', 'two')).toMatchObject(counts(1, 2))
    await one.close()
    await expect.poll(() => a.node.pools.count).toBe(0)
    expect(await announced(two, 's', 'two', { offers: offersOf('two', 5) })).toMatchObject(counts(0, 1))
    await two.close()
    await expect.poll(() => cluster.size().pools).toBe(0)
  })

  test('[WT10] a member that is silent for two and a half intervals has left, though its socket is open', async () => {
    const { a, b, time } = await startTwo()
    const [one, two] = [a.connect('/announce'), b.connect('/announce')]
    await announced(one, 's', 'one')
    await time.advance(299_000)
    expect(await announced(two, 's', 'two')).toMatchObject(counts(0, 2))
    await time.advance(2_000)
    expect(await announced(two, 's', 'two', { offers: offersOf('two', 5) })).toMatchObject(counts(0, 1))
    await announced(one, 't', 'one')
    expect(framesOf(one, 'offer')).toEqual([])
  })

  test('[WT10] the newest socket of a member gets its offers, and the end of an older one changes nothing', async () => {
    const { a, b } = await startTwo()
    const [old, young, two] = [a.connect('/announce'), b.connect('/announce'), a.connect('/announce')]
    await announced(old, 's', 'one')
    await announced(young, 's', 'one')
    expect(await announced(two, 's', 'two', { offers: offersOf('two', 5) })).toMatchObject(counts(0, 2))
    await frameWith(young, 'offer')
    await old.close()
    await expect.poll(() => a.node.sessions.count).toBe(1)
    await announced(two, 's', 'two', { offers: offersOf('two', 5) })
    await frameWith(young, 'offer', 2)
    expect(framesOf(old, 'offer')).toEqual([])
  })

  test('[WT10] a socket that answers no ping is cut, and its members go', async () => {
    const { a, b, time } = await startTwo({ pingIntervalMs: 10_000 })
    const [half, two] = [a.connect('/announce', { autoPong: false }), b.connect('/announce')]
    await announced(half, 's', 'one')
    await announced(two, 's', 'two')
    for (let n = 0; n < 4; n++) {
      await time.advance(10_000)
      // The ping and its answer are on a real network.
      await announced(two, 's', 'two')
    }
    await half.ended()
    await expect.poll(() => a.node.pools.count).toBe(0)
    expect(await announced(two, 's', 'two')).toMatchObject(counts(0, 1))
  })
})

describe('faults', () => {
  test('[WT7] members of a node that died are skipped', async () => {
    const time = new FakeClock()
    const cluster = memoryCluster({ clock: time })
    let isDead = false
    const dead = await startTracker({ time, cluster, wrap: (backend) => beatsUnless(backend, () => isDead) })
    const live = await startTracker({ time, cluster })
    const [gone, here, two] = [dead, live, live].map(({ connect }) => connect('/announce'))
    if (!gone || !here || !two) throw new Error('unreachable')
    for (let n = 0; n < 8; n++) await announced(gone, 's', `gone-${n}`)
    await announced(here, 's', 'here')
    await time.advance(2_000)
    isDead = true
    await time.advance(defaultTimes.nodeLeaseMs + 5_000)
    await announced(two, 's', 'two', { offers: offersOf('two', 20) })
    await frameWith(here, 'offer')
    await announced(gone, 't', 'gone')
    expect(framesOf(gone, 'offer')).toEqual([])
  })

  test('[WT11] while the registry is away an announce gets a warning and a short interval, then the swarm is back', async () => {
    const { a, b, time, cluster } = await startTwo()
    const [one, two] = [a.connect('/announce'), b.connect('/announce')]
    await announced(one, 's', 'one')
    cluster.setDown(true)
    const warned = await announced(one, 's', 'one', { offers: offersOf('one', 5) })
    expect(warned).toEqual({
      action: 'announce',
      'warning message': expect.stringContaining('registry'),
      interval: expect.any(Number),
      info_hash: bytes20('s'),
    })
    expect(warned.interval).toBeGreaterThanOrEqual(10)
    expect(warned.interval).toBeLessThanOrEqual(20)
    one.send({ action: 'scrape', info_hash: bytes20('s') })
    expect(await frameWith(one, 'failure reason')).toMatchObject({ action: 'scrape' })
    cluster.flush()
    cluster.setDown(false)
    await time.advance(5_000)
    await two.opened()
    await expect
      .poll(async () => (await announced(two, 's', 'two', { offers: offersOf('two', 5) })).incomplete)
      .toBe(2)
    await frameWith(one, 'offer')
    expect(a.seen.filter((text) => text.startsWith('error announce'))).toEqual([])
  })

  test('[WT11] an answer in an outage is dropped, and an error of another kind is reported', async () => {
    const time = new FakeClock()
    const cluster = memoryCluster({ clock: time })
    let fault: Error | undefined
    const { connect, seen } = await startTracker({
      time,
      cluster,
      wrap: (backend) => ({
        ...backend,
        pools: {
          enter: (pool, member, options) => backend.pools.enter(pool, member, options),
          leave: (pool, member) => backend.pools.leave(pool, member),
          keep: (pool, members) => backend.pools.keep(pool, members),
          sizes: (pools) => (fault ? Promise.reject(fault) : backend.pools.sizes(pools)),
          find: (pool, id) => (fault ? Promise.reject(fault) : backend.pools.find(pool, id)),
        },
      }),
    })
    const peer = connect('/announce')
    await peer.opened()
    fault = new RegistryUnavailable('away')
    const answer = { answer: { type: 'answer', sdp: 'x' }, offer_id: 'o', to_peer_id: bytes20('two') }
    peer.send(announceOf('s', 'one', answer))
    await announced(peer, 's', 'one')
    expect(seen).toContain('signal registry-unavailable')
    expect(framesOf(peer)).toHaveLength(1)
    fault = new Error('a bug')
    peer.send({ action: 'scrape', info_hash: bytes20('s') })
    await frameWith(peer, 'failure reason')
    expect(seen).toContain('error scrape Error: a bug')
  })
})

test('[WT9] a scrape tells the sizes of the named swarms, on all nodes', async () => {
  const { a, b } = await startTwo()
  const [one, two] = [a.connect('/announce'), b.connect('/announce')]
  await announced(one, 's', 'one', { left: 0 })
  await announced(one, 't', 'one')
  await two.opened()
  two.send({ action: 'scrape', info_hash: [bytes20('s'), bytes20('nobody')] })
  expect(await frameWith(two, 'files')).toEqual({
    action: 'scrape',
    files: {
      [bytes20('s')]: { complete: 1, incomplete: 0, downloaded: 1 },
      [bytes20('nobody')]: { complete: 0, incomplete: 0, downloaded: 0 },
    },
    flags: { min_request_interval: 600 },
  })
})
