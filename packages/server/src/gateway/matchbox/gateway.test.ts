import { readFileSync } from 'node:fs'
import type { Backend, RoomRegistry } from '@peerage/core'
import { memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import { SECRET, sign } from '../../testing/tokens.js'
import type { WireFixture, WireFixtureOptions } from '../../testing/wire-fixture.js'
import { closeWires, sockets, startWire } from '../../testing/wire-fixture.js'
import { MatchboxGateway } from './gateway.js'

afterEach(closeWires)

type Fixture = WireFixture<MatchboxGateway>

/** No pings, because the clock of the test jumps. */
const quiet = { ...sockets, pingIntervalMs: 10_000_000, pingTimeoutMs: 100_000 }

const start = (more: WireFixtureOptions = {}): Promise<Fixture> =>
  startWire((options) => new MatchboxGateway({ ...options, ...quiet, base: '/' }), more)

interface Two {
  clock: FakeClock
  cluster: ReturnType<typeof memoryCluster>
  a: Fixture
  b: Fixture
  /** While it is true, node a hears nothing of what is published in rooms. */
  lossy: { isDeaf: boolean }
}

/** Two nodes on one store. */
async function two(more: WireFixtureOptions = {}): Promise<Two> {
  const clock = new FakeClock()
  const cluster = memoryCluster({ clock })
  const lossy = { isDeaf: false }
  const a = await start({
    ...more,
    cluster,
    time: clock,
    wrap: (backend) => ({ ...delegated(backend), rooms: deafRooms(backend.rooms, lossy) }),
  })
  const b = await start({ ...more, cluster, time: clock })
  // After one beat of each node, each node knows the other.
  await clock.advance(2_000)
  return { clock, cluster, a, b, lossy }
}

function delegated(backend: Backend): Backend {
  return {
    ...backend,
    identify: (node) => backend.identify(node),
    start: (onEvent) => backend.start(onEvent),
    stop: () => backend.stop(),
  }
}

function deafRooms(rooms: RoomRegistry, lossy: { isDeaf: boolean }): RoomRegistry {
  return {
    join: (room, member, ttlMs, most) => rooms.join(room, member, ttlMs, most),
    part: (room, member) => rooms.part(room, member),
    keep: (room, members, ttlMs) => rooms.keep(room, members, ttlMs),
    away: (room, member, node, ttlMs) => rooms.away(room, member, node, ttlMs),
    list: (room, after, most) => rooms.list(room, after, most),
    endsIn: (room, members) => rooms.endsIn(room, members),
    size: (room) => rooms.size(room),
    subscribe: (room, receive) => rooms.subscribe(room, (text) => (lossy.isDeaf ? undefined : receive(text))),
    unsubscribe: (room) => rooms.unsubscribe(room),
    publish: (room, text) => rooms.publish(room, text),
  }
}

interface Game {
  peer: WirePeer
  id: string
}

/** Connects a peer after a millisecond of the clock, so that it comes later than those before it. */
async function enter(fixture: Fixture, path = '/matchbox/chess'): Promise<Game> {
  await fixture.clock.advance(1)
  return enterNow(fixture, path)
}

/** Connects a peer and waits for its id. */
async function enterNow({ connect }: Fixture, path = '/matchbox/chess'): Promise<Game> {
  const peer = connect(path)
  const { IdAssigned: id } = JSON.parse(await peer.frame(1)) as { IdAssigned: string }
  return { peer, id }
}

/** The frames after the first one. */
function told({ peer }: Game): string[] {
  return peer.frames.slice(1)
}

/** Changes reach the peers after 50 ms of the clock, and then a moment for the sockets. */
async function settle(clock: FakeClock, ms = 200): Promise<void> {
  for (let i = 0; i < 4; i++) {
    await clock.advance(ms / 4)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Waits until a peer has so many frames, while time passes. */
async function heard(clock: FakeClock, { peer }: Game, frames: number): Promise<void> {
  await expect.poll(() => settle(clock).then(() => peer.frames.length)).toBeGreaterThanOrEqual(frames)
}

const newPeer = ({ id }: Game): string => `{"NewPeer":"${id}"}`
const peerLeft = ({ id }: Game): string => `{"PeerLeft":"${id}"}`
const signal = (to: Game, data: unknown): string => JSON.stringify({ Signal: { receiver: to.id, data } })
const signalFrom = (from: Game, data: unknown): string =>
  JSON.stringify({ Signal: { sender: from.id, data } })

/** For each pair, how many of the two got a NewPeer. */
function offers(games: readonly Game[]): number[] {
  return games.flatMap((one, i) =>
    games.slice(i + 1).map((other) => {
      const count = (of: Game, frame: string): number => told(of).filter((text) => text === frame).length
      return count(one, newPeer(other)) + count(other, newPeer(one))
    }),
  )
}

describe('coming in', () => {
  test('[MB4] the first frame is the id, a random UUID, and the peer is a member by then', async () => {
    const { a } = await two()
    const first = await enter(a)
    expect(first.id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    const [session] = a.node.sessions.allOnline()
    if (session === undefined) throw new Error('nobody is online')
    expect(session.peer).toBe(`default/${first.id}`)
    expect(a.node.rooms.of(session.connection.id)).toEqual(['chess'])
    await settle(a.clock)
    expect(told(first)).toEqual([])
  })

  test('[MB4] a signal of a peer that heard of the newcomer first comes after the id', async () => {
    const { clock, a, b } = await two()
    const first = await enter(a)
    // The answer to the join is late.
    const join = b.node.rooms.join.bind(b.node.rooms)
    let answer = (): void => {}
    const isHeld = new Promise<void>((resolve) => (answer = resolve))
    vi.spyOn(b.node.rooms, 'join').mockImplementation(async (...args) => {
      const outcome = await join(...args)
      await isHeld
      return outcome
    })
    await clock.advance(1)
    const late = b.connect('/matchbox/chess')
    await heard(clock, first, 2)
    const { NewPeer: id } = JSON.parse(first.peer.frames[1] ?? '') as { NewPeer: string }
    const second = { peer: late, id }
    first.peer.send(signal(second, { Offer: 'o' }))
    await late.frame(2)
    answer()
    await settle(clock)
    expect(late.frames).toEqual([`{"IdAssigned":"${id}"}`, signalFrom(first, { Offer: 'o' })])
  })

  test('[MB5] rooms of other apps, other names and the native wire are other rooms', async () => {
    const { clock, a, b } = await two({ settings: { apps: { default: {}, games: {} } } })
    const paths = [
      '/chess',
      '/chess?app=games',
      '/checkers',
      '/',
      '/%23chess',
      '/chess?next=2',
      '/chess?next=3',
    ]
    const games: Game[] = []
    for (const [i, path] of paths.entries()) games.push(await enter(i % 2 ? a : b, `/matchbox${path}`))
    await settle(clock)
    expect(games.map(told)).toEqual(paths.map(() => []))
    const again = await enter(a, '/matchbox')
    await settle(clock)
    expect(told(games[3] ?? again)).toEqual([newPeer(again)])
  })

  test('[MB3] a token is in the URL, a peer has the UUID though the token says a name, and the token’s end ends it', async () => {
    const time = new FakeClock()
    const { connect, node, clock } = await start({
      settings: { access: { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } } },
      time,
    })
    const token = await sign({ sub: 'alice', aud: 'default', exp: Math.floor(time.now() / 1_000) + 60 })
    const peer = connect(`/matchbox/chess?token=${token}`)
    const { IdAssigned: id } = JSON.parse(await peer.frame(1)) as { IdAssigned: string }
    const [session] = node.sessions.allOnline()
    expect([session?.peer, session?.holder?.identity]).toEqual([`default/${id}`, 'alice'])
    await clock.advance(72_000)
    expect(await peer.ended()).toMatchObject({ code: 4504 })
  })

  test('[MB3] a refused peer is closed with the code and the text, and got no id', async () => {
    const { connect, clock, seen } = await start({
      settings: { access: { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } } },
    })
    const peer = connect('/matchbox/chess')
    await expect.poll(() => seen).toContain('registered bad-token')
    await clock.advance(4_000)
    expect(await peer.ended()).toMatchObject({ code: 4502, reason: expect.stringContaining('token') })
    expect(peer.frames).toEqual([])
  })

  test('[MB3] a room that the token does not grant is refused, and its name is freed', async () => {
    const time = new FakeClock()
    const { connect, clock, node } = await start({
      settings: { access: { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } } },
      time,
    })
    const exp = Math.floor(time.now() / 1_000) + 600
    const token = await sign({ sub: 'a', aud: 'default', exp, peerage: { rooms: { names: ['chess'] } } })
    const peer = connect(`/matchbox/poker?token=${token}`)
    await expect.poll(() => node.sessions.onlineCount).toBe(1)
    await clock.advance(4_000)
    expect(await peer.ended()).toEqual({ code: 4502, reason: 'the access rules do not allow this room' })
    await expect.poll(() => node.sessions.onlineCount).toBe(0)
    await connect(`/matchbox/chess?token=${token}`).frame(1)
  })

  test('[MB13] while the store is down a peer is closed with 4007', async () => {
    const clock = new FakeClock()
    const cluster = memoryCluster({ clock })
    const { connect, seen } = await start({ cluster, time: clock })
    cluster.setDown(true)
    const peer = connect('/matchbox/chess')
    await expect.poll(() => seen).toContain('registered registry-unavailable')
    await clock.advance(4_000)
    expect(await peer.ended()).toMatchObject({ code: 4007 })
    expect(peer.frames).toEqual([])
  })
})

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

describe('signals', () => {
  test('[MB8] go to the other peer of the room on any node, with the sender’s id and the data’s own text', async () => {
    const { clock, a, b } = await two()
    const [first, second, third] = [await enter(a), await enter(b), await enter(a)]
    await settle(clock)
    const counted = told(second).length
    first.peer.send(`{"Signal":{"data":[1e20, "\\u0041"],"sender":"${second.id}","receiver":"${second.id}"}}`)
    await settle(clock)
    expect(told(second).slice(counted)).toEqual([
      `{"Signal":{"sender":"${first.id}","data":[1e20, "\\u0041"]}}`,
    ])
    third.peer.send(signal(first, null))
    await settle(clock)
    expect(told(first).at(-1)).toBe(signalFrom(third, null))
    expect(a.seen).toContain('signal forwarded')
    expect(a.seen).toContain('signal delivered')
  })

  test('[MB8] to a peer of another room, to nobody and to oneself are dropped in silence and counted', async () => {
    const { clock, a, b } = await two()
    const [first, other] = [await enter(a), await enter(b, '/matchbox/other')]
    await settle(clock)
    for (const to of [other, first, { ...first, id: '67e55044-10b1-426f-9247-bb680e5fe0c8' }])
      first.peer.send(signal(to, 'x'))
    await settle(clock)
    expect([told(first), told(other)]).toEqual([[], []])
    expect(a.seen.filter((what) => what === 'signal unavailable')).toHaveLength(3)
    expect(first.peer.end).toBeUndefined()
  })

  test('[MB8] the answer to an offer is passed on, even if the room has not named the offerer yet', async () => {
    const { clock, a, b, lossy } = await two()
    const second = await enter(a)
    await settle(clock)
    lossy.isDeaf = true
    const newcomer = await enter(b)
    await settle(clock)
    newcomer.peer.send(signal(second, { Offer: 'o' }))
    await settle(clock)
    expect(told(second)).toEqual([signalFrom(newcomer, { Offer: 'o' })])
    second.peer.send(signal(newcomer, { Answer: 'a' }))
    await settle(clock)
    expect(told(newcomer)).toEqual([signalFrom(second, { Answer: 'a' })])
  })

  test('[MB7] a signal that was on its way when its sender left is dropped', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    const [session] = a.node.sessions.allOnline()
    if (session === undefined) throw new Error('nobody is online')
    await second.peer.close()
    await settle(clock)
    const message = {
      from: `default/${second.id}`,
      to: session.peer,
      wire: 'matchbox',
      kind: 'signal',
    } as const
    expect(session.connection.send({ type: 'relay', message: { ...message, frame: 'x' } as never })).toBe(
      true,
    )
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), peerLeft(second)])
  })

  test('[MB8] signals of one pair arrive in order, also before the route is known', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    const numbers = Array.from({ length: 50 }, (_, i) => i)
    for (const i of numbers) first.peer.send(signal(second, i))
    await second.peer.frame(1 + numbers.length)
    await settle(clock)
    expect(told(second)).toEqual(numbers.map((i) => signalFrom(first, i)))
  })

  test('[MB9] KeepAlive has no answer, and counts as a frame', async () => {
    const { a, clock } = await two({
      limitValues: {
        connection: { messagesPerSecond: 2, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
        name: { messagesPerSecond: 0, failuresPerMinute: 0 },
        address: { connections: 0, connectsPerSecond: 0, lookupsPerSecond: 0, failuresPerMinute: 0 },
        node: { connections: 0, connectsPerSecond: 0, bufferedBytes: 0 },
      },
    })
    const game = await enter(a)
    for (let i = 0; i < 10; i++) game.peer.send('"KeepAlive"')
    await expect.poll(() => a.seen.filter((what) => what === 'rejected rate-limited').length).toBe(6)
    await settle(clock)
    expect(told(game)).toEqual([])
  })
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

describe('bad input', () => {
  test('[MB2] malformed frames are dropped and counted, the other peers are served, and the 101st ends the socket', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    const texts = [...malformedFrames([{ Signal: { receiver: second.id, data: { Offer: 'v=0' } } }])]
    let bad = await enter(a)
    for (const text of texts) {
      if (bad.peer.end !== undefined) bad = await enter(a)
      bad.peer.send(text)
      if (bad.peer.socket.bufferedAmount > 1e6) await settle(clock)
    }
    await expect.poll(() => a.seen.filter((what) => what === 'closed protocol').length).toBeGreaterThan(0)
    await settle(clock)
    first.peer.send(signal(second, 'still here'))
    await second.peer.until('the signal', () => second.peer.frames.includes(signalFrom(first, 'still here')))
    for (const frame of second.peer.frames) expect(() => JSON.parse(frame) as unknown).not.toThrow()
    expect(a.seen.filter((what) => what.startsWith('error'))).toEqual([])
  })

  test('[MB2] a binary frame is read as text', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    first.peer.socket.send(Buffer.from(signal(second, 1)))
    await settle(clock)
    expect(told(second)).toEqual([signalFrom(first, 1)])
  })

  test('[MB13] a frame over the limit ends the socket with 1009', async () => {
    const { a } = await two()
    const game = await enter(a)
    game.peer.send(JSON.stringify({ Signal: { receiver: game.id, data: 'x'.repeat(70_000) } }))
    expect(await game.peer.ended()).toMatchObject({ code: 1009 })
  })

  test('[MB1] an upgrade that cannot be served gets HTTP 400', async () => {
    const { connect } = await start()
    for (const path of ['/matchbox/%ff', '/matchbox/r?app=Bad', '/matchbox/r?next=100000']) {
      const peer = connect(path)
      expect(await peer.ended()).toMatchObject({ code: 1006 })
    }
  })
})

describe('the end', () => {
  test('[MB12] a drain takes these sockets last, and closes them with 4000', async () => {
    const { a, clock } = await two()
    const game = await enter(a)
    expect(a.gateway.drainsLast).toBe(true)
    const drained = a.gateway.drain(1_000)
    await clock.advance(1_000)
    await drained
    expect(await game.peer.ended()).toMatchObject({ code: 4000 })
  })

  test('[MB11] the peers of a killed node have left when their memberships end', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    // Nothing of the node reaches the store any more, not even the end of its sockets.
    vi.spyOn(b.node, 'end').mockResolvedValue(undefined)
    await b.node.stop()
    await clock.advance(20_000)
    await settle(clock)
    await clock.advance(180_000)
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), peerLeft(second)])
  })
})

test('the recorded frames of matchbox_socket are relayed as matchbox_server relays them', async () => {
  const { clock, a, b } = await two()
  const path = new URL('../../../../../test/foreign/matchbox/frames.json', import.meta.url)
  const { frames } = JSON.parse(readFileSync(path, 'utf8')) as {
    frames: { peer: 0 | 1; to: 'node' | 'peer'; text: string }[]
  }
  const games = [await enter(a), await enter(b)] as const
  const named = (text: string): string =>
    text.replaceAll('PEER0', games[0].id).replaceAll('PEER1', games[1].id)
  const read = [0, 0]
  for (const { peer, to, text } of frames) {
    const game = games[peer]
    if (to === 'node' && text === '') await game.peer.cut()
    else if (to === 'node') game.peer.send(named(text))
    else {
      const at = read[peer] ?? 0
      await heard(clock, game, at + 1)
      expect(game.peer.frames[at]).toBe(named(text))
      read[peer] = at + 1
    }
    await settle(clock)
  }
})
