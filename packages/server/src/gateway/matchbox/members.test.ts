import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Game } from '../../testing/matchbox-fixture.js'
import {
  start,
  two,
  enter,
  enterNow,
  told,
  settle,
  newPeer,
  peerLeft,
  signal,
  signalFrom,
  offers,
} from '../../testing/matchbox-fixture.js'
import { closeWires } from '../../testing/wire-fixture.js'

afterEach(closeWires)

describe('who is told of whom', () => {
  test('[MB6] each peer that was there first gets NewPeer once, and the newcomer gets none', async () => {
    const { clock, a, b } = await two()
    const games = [await enter(a), await enter(b)]
    games.push(await enter(a))
    games.push(await enter(b))
    await settle(clock)
    expect(offers(games)).toEqual([1, 1, 1, 1, 1, 1])
    expect(games.map(told).at(-1)).toEqual([])
    expect(games.flatMap(told)).toHaveLength(6)
  })

  test('[MB6] of peers that come at the same moment on two nodes, one of each pair is told', async () => {
    const { clock, a, b } = await two()
    const games = await Promise.all([a, b, a, b, b, a].map((node) => enterNow(node)))
    await settle(clock)
    await settle(clock)
    expect(offers(games)).toEqual(Array.from({ length: 15 }, () => 1))
    expect(games.flatMap(told)).toHaveLength(15)
    // The comparisons with the list find nothing new.
    await clock.advance(70_000)
    await settle(clock)
    expect(games.flatMap(told)).toHaveLength(15)
  })

  test('[MB7] each peer that shared the room gets PeerLeft once', async () => {
    const { clock, a, b } = await two()
    const first = await enter(a)
    const [second, third] = [await enter(b), await enter(a)]
    const other = await enter(b, '/matchbox/other')
    await settle(clock)
    // As matchbox_socket ends: without a close frame.
    await second.peer.cut()
    await settle(clock)
    await clock.advance(70_000)
    await settle(clock)
    for (const game of [first, third])
      expect(told(game).filter((text) => text === peerLeft(second))).toHaveLength(1)
    expect(told(other)).toEqual([])
  })

  test('[MB12] a name is free at once, however its peer ended', async () => {
    const { node, connect, clock } = await start()
    const lookup = (id: string) => node.router.lookup(`default/${id}` as never)
    for (const end of ['close', 'cut'] as const) {
      const peer = connect('/matchbox/chess')
      const { IdAssigned: id } = JSON.parse(await peer.frame(1)) as { IdAssigned: string }
      expect(await lookup(id)).toBeDefined()
      await peer[end]()
      await settle(clock)
      expect(await lookup(id)).toBeUndefined()
    }
  })

  test('[MB11] after a flush nobody is told again, and the next peer is told of once', async () => {
    const { clock, cluster, a, b } = await two()
    const games = [await enter(a), await enter(b)]
    await settle(clock)
    await clock.advance(2_000)
    cluster.flush()
    games.push(await enter(b))
    await clock.advance(70_000)
    await settle(clock)
    games.push(await enter(a))
    await settle(clock)
    expect(offers(games)).toEqual([1, 1, 1, 1, 1, 1])
    expect(games.flatMap(told)).toHaveLength(6)
  })

  test('[MB11] a lost change is made good by the comparison with the list, for every peer and once', async () => {
    const { clock, a, b, lossy } = await two()
    const games = [await enter(a), await enter(a)]
    await settle(clock)
    lossy.isDeaf = true
    games.push(await enter(b))
    await settle(clock)
    lossy.isDeaf = false
    expect(offers(games)).toEqual([1, 0, 0])
    await clock.advance(40_000)
    await settle(clock)
    expect(offers(games)).toEqual([1, 1, 1])
    expect(games.flatMap(told)).toHaveLength(3)
  })

  test('[MB11] a change that was lost in a doubt is made good right after it', async () => {
    const { clock, cluster, a, b, lossy } = await two()
    const games = [await enter(a)]
    await settle(clock)
    lossy.isDeaf = true
    games.push(await enter(b))
    await settle(clock)
    lossy.isDeaf = false
    cluster.setDown(true)
    cluster.setDown(false)
    await clock.advance(2_000)
    await settle(clock)
    expect(offers(games)).toEqual([1])
    await clock.advance(70_000)
    await settle(clock)
    expect(games.flatMap(told)).toHaveLength(1)
  })

  test('[MB11] what a newcomer reads in the list, the other peers of its node learn too', async () => {
    const { clock, a, b, lossy } = await two()
    const games = [await enter(a)]
    await settle(clock)
    lossy.isDeaf = true
    games.push(await enter(b))
    await settle(clock)
    lossy.isDeaf = false
    games.push(await enter(a))
    await settle(clock)
    expect(offers(games)).toEqual([1, 1, 1])
    await clock.advance(70_000)
    await settle(clock)
    expect(games.flatMap(told)).toHaveLength(3)
  })

  test('[MB11] a lost PeerLeft is made good once', async () => {
    const { clock, a, b, lossy } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    lossy.isDeaf = true
    await second.peer.close()
    await settle(clock)
    lossy.isDeaf = false
    expect(told(first)).toEqual([newPeer(second)])
    await clock.advance(100_000)
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), peerLeft(second)])
  })

  test('[MB11] a list that could not be read is made good', async () => {
    const { clock, a, b } = await two()
    const first = await enter(a)
    await settle(clock)
    vi.spyOn(b.node.rooms, 'list').mockRejectedValueOnce(new Error('a list that cannot be read'))
    const second = await enter(b)
    await settle(clock)
    expect(b.seen.filter((what) => what.startsWith('error'))).toHaveLength(1)
    second.peer.send(signal(first, 1))
    await settle(clock)
    await clock.advance(40_000)
    await settle(clock)
    second.peer.send(signal(first, 2))
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), signalFrom(second, 2)])
  })
})

test('[MB7] a list that was read before a leave and arrives after it brings nobody back', async () => {
  const { clock, a, b } = await two()
  const [first, second] = [await enter(a), await enter(b)]
  await settle(clock)
  const list = a.node.rooms.list.bind(a.node.rooms)
  let answer = (): void => {}
  const isHeld = new Promise<void>((resolve) => (answer = resolve))
  vi.spyOn(a.node.rooms, 'list').mockImplementation(async (...args) => {
    const page = await list(...args)
    await isHeld
    return page
  })
  const entering = enterNow(a)
  await settle(clock)
  await second.peer.cut()
  await settle(clock)
  answer()
  const third = await entering
  await settle(clock)
  expect(told(first)).toEqual([newPeer(second), newPeer(third), peerLeft(second)])
})

describe('groups', () => {
  test('[MB10] peers of two nodes form groups of next, each once, and only the group is told', async () => {
    const { clock, a, b } = await two()
    const games: Game[] = []
    for (let i = 0; i < 7; i++) games.push(await enter(i % 2 ? b : a, '/matchbox/g?next=3'))
    await settle(clock)
    const groups = [games.slice(0, 3), games.slice(3, 6), games.slice(6)]
    for (const group of groups) expect(offers(group)).toEqual(group.length === 3 ? [1, 1, 1] : [])
    expect(games.flatMap(told)).toHaveLength(6)
    await games[0]?.peer.close()
    await settle(clock)
    expect(games.map((game) => told(game).filter((text) => text.includes('PeerLeft')).length)).toEqual([
      0, 1, 1, 0, 0, 0, 0,
    ])
  })

  test('[MB10] peers that come at the same moment on two nodes form whole groups', async () => {
    const { clock, a, b } = await two()
    const games = await Promise.all(
      Array.from({ length: 8 }, (_, i) => enterNow(i % 2 ? b : a, '/matchbox/g?next=2')),
    )
    await settle(clock)
    await settle(clock)
    expect(offers(games).reduce((sum, count) => sum + count, 0)).toBe(4)
    for (const game of games)
      expect(games.filter((other) => offers([game, other]).includes(1) && other !== game)).toHaveLength(1)
  })

  test('[MB10] a peer that leaves while it waits frees its seat', async () => {
    const { clock, a, b } = await two()
    const gone = await enter(a, '/matchbox/g?next=2')
    await gone.peer.cut()
    await settle(clock)
    const [first, second] = [await enter(b, '/matchbox/g?next=2'), await enter(a, '/matchbox/g?next=2')]
    await settle(clock)
    expect(offers([first, second])).toEqual([1])
  })

  test('[MB10] a peer that completes a group and goes before it is a member frees its seat', async () => {
    const { clock, a, b } = await two()
    const first = await enter(a, '/matchbox/g?next=2')
    const seat = b.node.rooms.seat.bind(b.node.rooms)
    let answer = (): void => {}
    const isHeld = new Promise<void>((resolve) => (answer = resolve))
    vi.spyOn(b.node.rooms, 'seat').mockImplementationOnce(async (...args) => {
      const room = await seat(...args)
      await isHeld
      return room
    })
    const gone = b.connect('/matchbox/g?next=2')
    await gone.opened()
    await settle(clock)
    await gone.cut()
    await settle(clock)
    answer()
    await settle(clock)
    const second = await enter(b, '/matchbox/g?next=2')
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second)])
  })

  test('[MB10] a peer whose seat was lost before it was a member takes another one, in the same group', async () => {
    const { clock, a, b } = await two()
    const first = await enter(a, '/matchbox/g?next=2')
    vi.spyOn(b.node.rooms, 'confirm').mockResolvedValueOnce(false)
    const second = await enter(b, '/matchbox/g?next=2')
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second)])
    expect(told(second)).toEqual([])
  })

  test('[MB10] a peer whose seat was lost, and taken by another peer, goes to another group', async () => {
    const { clock, cluster, a, b } = await two()
    const first = await enter(a, '/matchbox/g?next=2')
    const join = b.node.rooms.join.bind(b.node.rooms)
    const taking: Game[] = []
    vi.spyOn(b.node.rooms, 'join').mockImplementationOnce(async (...args) => {
      cluster.flush()
      await settle(clock, 2_000)
      taking.push(await enter(a, '/matchbox/g?next=2'))
      return join(...args)
    })
    const entering = enterNow(b, '/matchbox/g?next=2')
    await settle(clock, 4_000)
    const second = await entering
    taking.push(await enter(a, '/matchbox/g?next=2'))
    await settle(clock)
    const [third, fourth] = taking
    if (third === undefined || fourth === undefined) throw new Error('expected two more peers')
    expect(told(first).filter((text) => text === newPeer(third))).toHaveLength(1)
    expect(told(first).filter((text) => text === peerLeft(second))).toHaveLength(1)
    expect(told(second)).toEqual([newPeer(fourth)])
  })

  test('[MB10] a peer that has left before a newcomer read who is there does not make the group meet', async () => {
    const { clock, a, b } = await two()
    const gone = await enter(a, '/matchbox/g?next=2')
    const list = b.node.rooms.list.bind(b.node.rooms)
    vi.spyOn(b.node.rooms, 'list').mockImplementationOnce(async (...args) => {
      await gone.peer.cut()
      await settle(clock)
      return list(...args)
    })
    const second = await enter(b, '/matchbox/g?next=2')
    const third = await enter(a, '/matchbox/g?next=2')
    await settle(clock)
    expect(told(second)).toEqual([newPeer(third)])
  })

  test('[MB10] a group of one is alone at once', async () => {
    const { clock, a, b } = await two()
    const games = [await enter(a, '/matchbox/g?next=1'), await enter(b, '/matchbox/g?next=1')]
    await settle(clock)
    expect(games.flatMap(told)).toEqual([])
  })

  test('[MB10] peers that leave while they come in leave no seat, no name and no room behind', async () => {
    const { clock, cluster, a, b } = await two()
    const peers = Array.from({ length: 20 }, (_, i) => (i % 2 ? b : a).connect('/matchbox/g?next=3'))
    await Promise.all(peers.map((peer) => peer.opened()))
    await Promise.all(peers.map((peer) => peer.cut()))
    await settle(clock)
    await clock.advance(5_000)
    expect(cluster.size()).toMatchObject({ names: 0 })
    expect([a.node.rooms.count, b.node.rooms.count]).toEqual([0, 0])
    const games = [await enter(a, '/matchbox/g?next=3'), await enter(b, '/matchbox/g?next=3')]
    games.push(await enter(b, '/matchbox/g?next=3'))
    await settle(clock)
    expect(offers(games)).toEqual([1, 1, 1])
  })
})
