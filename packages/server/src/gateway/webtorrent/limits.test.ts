import type { Backend } from '@peerage/core'
import { memberLimits, memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { afterEach, describe, expect, test } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import {
  announceOf,
  announced,
  bytes20,
  frameWith,
  framesOf,
  hexOf,
  offersOf,
  startTracker,
} from '../../testing/tracker.js'
import { unlimited } from '../../testing/unlimited.js'
import { appOf } from '../../testing/peerjs-fixture.js'
import { closeWires } from '../../testing/wire-fixture.js'

afterEach(closeWires)

describe('access', () => {
  const granted = (rooms: object) => ({
    access: { admit: async () => ({ ok: true as const, app: appOf('default'), rooms }) },
  })

  test('[WT12] a swarm that the access rules do not name is refused, and the socket stays open', async () => {
    const { connect, seen } = await startTracker(granted({ names: [hexOf(bytes20('mine'))] }))
    const peer = connect('/announce')
    await announced(peer, 'mine', 'one')
    peer.send(announceOf('other', 'one', { event: 'started' }))
    expect(await frameWith(peer, 'failure reason')).toEqual({
      action: 'announce',
      'failure reason': 'the access rules do not allow this',
      info_hash: bytes20('other'),
    })
    peer.send({ action: 'scrape', info_hash: [bytes20('mine'), bytes20('other')] })
    expect(await frameWith(peer, 'failure reason', 2)).toMatchObject({ action: 'scrape' })
    peer.send({ action: 'scrape', info_hash: bytes20('mine') })
    await frameWith(peer, 'files')
    expect(seen.filter((text) => text === 'room forbidden')).toHaveLength(2)
  })

  test('[WT12] an answer in a swarm that the access rules do not name is dropped', async () => {
    const { connect, seen } = await startTracker(granted({ prefixes: [hexOf('mine')] }))
    const [one, two] = [connect('/announce'), connect('/announce')]
    await announced(one, 'mine', 'one')
    await two.opened()
    const answer = { answer: { type: 'answer', sdp: 'x' }, offer_id: 'o', to_peer_id: bytes20('one') }
    two.send(announceOf('other', 'two', answer))
    two.send(announceOf('mine', 'two', answer))
    await frameWith(one, 'answer')
    expect(framesOf(one, 'answer')).toHaveLength(1)
    expect(seen).toContain('signal forbidden')
  })

  test('[WT12] a peer presents its access key in the URL, and without it the socket is closed', async () => {
    const { connect, clock } = await startTracker({ settings: { access: { key: 'a-key-that-is-shared' } } })
    const [good, bad] = [connect('/announce?key=a-key-that-is-shared'), connect('/announce')]
    await announced(good, 's', 'one')
    await bad.opened()
    bad.send(announceOf('s', 'two'))
    await clock.advance(5_000)
    expect((await bad.ended()).code).toBe(4502)
    expect(bad.frames).toEqual([])
  })
})

describe('malformed frames', () => {
  test('[WT13] each is answered with its action, and every field of every frame may be wrong', async () => {
    const { connect } = await startTracker()
    const neighbour = connect('/announce')
    await announced(neighbour, 's', 'neighbour')
    const one = { action: 'announce', info_hash: bytes20('s'), peer_id: bytes20('one') }
    const answer = { type: 'answer', sdp: 'x' }
    const valid = [
      { ...one, event: 'started', left: 1, numwant: 1, offers: offersOf('one', 1) },
      { ...one, answer, offer_id: bytes20('o'), to_peer_id: bytes20('neighbour') },
      { action: 'scrape', info_hash: [bytes20('s')] },
    ]
    let peer = connect('/announce')
    let sent = 0
    for (const text of malformedFrames(valid)) {
      // A socket may send a hundred of them.
      if (sent++ % 100 === 0) {
        if (sent > 1) await told(peer)
        await peer.close()
        peer = connect('/announce')
        await peer.opened()
      }
      peer.send(text)
    }
    expect(sent).toBeGreaterThan(1_000)
    await told(peer)
    expect(await announced(neighbour, 's', 'neighbour')).toMatchObject({ action: 'announce' })
    for (const frame of framesOf(neighbour)) expect(frame).toMatchObject({ info_hash: bytes20('s') })
  })

  /** All that a peer has sent is read, and what it got has an action and, if it is an announce, an info_hash. */
  async function told(peer: WirePeer): Promise<void> {
    await announced(peer, 'last', 'last')
    for (const { action, info_hash: infoHash } of framesOf(peer))
      if (action === 'announce') expect(infoHash).toBeTypeOf('string')
      else expect(action).toBe('scrape')
  }

  test.each([82, 84, 90, 1_000])('[WT13] [WT14] an announce with %i offers is answered', async (count) => {
    const { connect } = await startTracker()
    const peer = connect('/announce')
    await peer.opened()
    const offers = Array.from({ length: count }, () => ({ offer: { type: 'offer', sdp: '' }, offer_id: '' }))
    peer.send({ ...announceOf('swarm', 'peer'), offers })
    await peer.frame(1)
    if (count > 84)
      expect(framesOf(peer)).toEqual([
        {
          action: 'announce',
          'failure reason': expect.stringContaining('an announce has at most 82 offers'),
          info_hash: '',
        },
      ])
    else expect(framesOf(peer, 'interval')).toHaveLength(1)
  })

  test('[WT13] a socket with more than a hundred of them is closed', async () => {
    const { connect, clock, seen } = await startTracker()
    const peer = connect('/announce')
    await peer.opened()
    for (let n = 0; n <= 100; n++) peer.send('{}')
    await peer.frame(101)
    await clock.advance(4_250)
    await peer.ended()
    expect(framesOf(peer, 'failure reason')).toHaveLength(101)
    expect(seen.filter((text) => text === 'rejected malformed')).toHaveLength(101)
  })
})

describe('limits', () => {
  test('[WT14] a socket is in a thousand swarms, and the next one is refused', async () => {
    const { connect, node } = await startTracker()
    const [many, other] = [connect('/announce'), connect('/announce')]
    await many.opened()
    for (let n = 0; n < 10_000; n++) {
      many.send(announceOf(`swarm-${n}`, 'many'))
      if (n % 500 === 499) await many.until('all answers', () => many.frames.length > n)
    }
    expect(framesOf(many, 'interval')).toHaveLength(memberLimits.pools)
    expect(framesOf(many, 'failure reason')[0]).toMatchObject({
      'failure reason': expect.stringContaining(`at most ${memberLimits.pools} members`),
      info_hash: bytes20(`swarm-${memberLimits.pools}`),
    })
    expect(node.pools.count).toBe(memberLimits.pools)
    await announced(other, 'swarm-9999', 'other')
    many.send(announceOf('swarm-0', 'many', { event: 'stopped' }))
    many.send(announceOf('swarm-9999', 'many'))
    await frameWith(many, 'interval', memberLimits.pools + 2)
  })

  test('[WT14] a socket has eight members in a swarm, so offers find other sockets', async () => {
    const { connect, node } = await startTracker()
    const [many, one, two] = [connect('/announce'), connect('/announce'), connect('/announce')]
    await announced(one, 's', 'one')
    await many.opened()
    for (let n = 0; n < 1_000; n++) many.send(announceOf('s', `many-${n}`))
    await many.until('all answers', () => many.frames.length === 1_000)
    expect(framesOf(many, 'interval')).toHaveLength(memberLimits.membershipsPerPool)
    expect(framesOf(many, 'failure reason').at(-1)).toEqual({
      action: 'announce',
      'failure reason': expect.stringContaining('8 of them in one swarm'),
      info_hash: bytes20('s'),
    })
    expect(node.pools.count).toBe(9)
    await announced(two, 's', 'two', { offers: offersOf('two', 9) })
    await frameWith(one, 'offer')
    // Its other swarms are not affected, and a member that stops makes room.
    await announced(many, 't', 'many-8')
    await announced(many, 's', 'many-0', { event: 'stopped' })
    expect(await announced(many, 's', 'many-8')).toMatchObject({ incomplete: 10 })
  })

  test('[WT10] sockets that announce and vanish leave nothing behind', async () => {
    const cluster = memoryCluster()
    const { connect, node } = await startTracker({ cluster })
    for (let batch = 0; batch < 5; batch++) {
      const peers = Array.from({ length: 100 }, () => connect('/announce'))
      await Promise.all(peers.map((peer, n) => announced(peer, `swarm-${n % 7}`, `peer-${batch}-${n}`)))
      expect(node.pools.count).toBe(100)
      await Promise.all(peers.map((peer) => peer.cut()))
      await expect.poll(() => node.pools.count).toBe(0)
    }
    await node.pools.settled()
    expect(cluster.size().pools).toBe(0)
    expect(node.sessions.count).toBe(0)
  })

  const rates = { messagesPerSecond: 1_000, bytesPerSecond: 8_388_608, signalBytesPerSecond: 262_144 }
  const limitValues = { ...unlimited, connection: { ...rates, lookupsPerSecond: 200 } }

  test('[WT14] the default rates let a client through that announces ten rooms five times at once', async () => {
    const { connect } = await startTracker({ limitValues })
    const peer = connect('/announce')
    await peer.opened()
    // As trystero does in its first two seconds: three offers, each of them encrypted.
    const offers = offersOf('one', 3).map((offer) => ({
      ...offer,
      offer: { type: 'offer', sdp: 'a'.repeat(1_600) },
    }))
    for (let n = 0; n < 50; n++) peer.send(announceOf(`room-${n % 10}`, 'one', { offers }))
    await frameWith(peer, 'interval', 50)
  })

  test('[WT14] announces over the rate wait unread, all are answered, and other sockets are served', async () => {
    const { connect, clock } = await startTracker({ limitValues })
    const [greedy, other] = [connect('/announce'), connect('/announce')]
    await greedy.opened()
    const offers = [{ offer: { type: 'offer', sdp: 'a'.repeat(30_000) }, offer_id: 'o' }]
    for (let n = 0; n < 100; n++) greedy.send(announceOf(`s-${n}`, 'one', { offers }))
    await announced(other, 't', 'other')
    expect(framesOf(greedy, 'interval').length).toBeLessThan(30)
    await expect
      .poll(async () => clock.advance(500).then(() => framesOf(greedy, 'interval').length), {
        timeout: 10_000,
      })
      .toBe(100)
  })

  test('[WT14] announces that wait for a slow registry take bounded memory', async () => {
    const time = new FakeClock()
    const cluster = memoryCluster({ clock: time })
    let answer = (): void => {}
    const answered = new Promise<void>((resolve) => (answer = resolve))
    const slow = (backend: Backend): Backend => ({
      ...backend,
      pools: {
        enter: async (pool, member, options) => {
          await answered
          return backend.pools.enter(pool, member, options)
        },
        leave: (pool, member) => backend.pools.leave(pool, member),
        keep: (pool, members) => backend.pools.keep(pool, members),
        find: (pool, id) => backend.pools.find(pool, id),
        sizes: (pools) => backend.pools.sizes(pools),
      },
    })
    const { connect } = await startTracker({ time, cluster, wrap: slow }, { frameBytes: 8 * 1024 * 1024 })
    const peer = connect('/announce')
    await peer.opened()
    const offers = [{ offer: { type: 'offer', sdp: 'a'.repeat(7 * 1024 * 1024) }, offer_id: 'o' }]
    for (let n = 0; n < 6; n++) peer.send(announceOf(`swarm-${n}`, 'one', { offers }))
    const warning = await frameWith(peer, 'warning message', 2)
    expect(warning).toMatchObject({ action: 'announce', info_hash: bytes20('swarm-5') })
    answer()
    await frameWith(peer, 'complete', 4)
    await announced(peer, 's', 'one')
    expect(framesOf(peer, 'warning message')).toHaveLength(2)
  })
})
