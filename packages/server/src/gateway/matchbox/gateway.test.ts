import { readFileSync } from 'node:fs'
import { memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import type { Game } from '../../testing/matchbox-fixture.js'
import {
  start,
  two,
  enter,
  told,
  settle,
  heard,
  newPeer,
  peerLeft,
  signal,
  signalFrom,
} from '../../testing/matchbox-fixture.js'
import { SECRET, sign } from '../../testing/tokens.js'
import { closeWires } from '../../testing/wire-fixture.js'

afterEach(closeWires)

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
    await clock.advance(102_000)
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

describe('bad input', () => {
  test('[MB2] malformed frames are dropped and counted, the other peers are served, and the 101st ends the socket', async () => {
    const { clock, a, b } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    const texts = [...malformedFrames([{ Signal: { receiver: second.id, data: { Offer: 'v=0' } } }])]
    expect(texts.length).toBeGreaterThan(101)
    for (let at = 0; at < texts.length; at += 100) {
      const bad = await enter(a)
      for (const text of texts.slice(at, at + 100)) bad.peer.send(text)
      await bad.peer.close()
    }
    const malformed = (): number => a.seen.filter((what) => what === 'rejected malformed').length
    const before = malformed()
    const bad = await enter(a)
    for (let n = 0; n <= 100; n++) bad.peer.send('{')
    await expect.poll(() => malformed() - before).toBe(101)
    await clock.advance(4_250)
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

  test('[UW6] [MB14] a frame over the limit ends the socket with 1009', async () => {
    const { a, clock } = await two()
    const game = await enter(a)
    game.peer.send(JSON.stringify({ Signal: { receiver: game.id, data: 'x'.repeat(70_000) } }))
    await expect.poll(() => a.seen).toContain('rejected fault')
    await clock.advance(4_250)
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

  test('[MB11] a peer that has left for the others while its node was away is closed, and no newcomer is told of it', async () => {
    const { clock, a, b, lossy } = await two()
    const [first, second] = [await enter(a), await enter(b)]
    await settle(clock)
    lossy.isAway = true
    await clock.advance(110_000)
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), peerLeft(second)])
    lossy.isAway = false
    await clock.advance(2_000)
    expect(await second.peer.ended()).toMatchObject({ code: 4007 })
    const third = await enter(b)
    await settle(clock)
    await clock.advance(70_000)
    await settle(clock)
    expect(told(first)).toEqual([newPeer(second), peerLeft(second), newPeer(third)])
    expect(told(second)).toEqual([])
    expect(told(third)).toEqual([])
  })
})

test('[MB14] the recorded frames of matchbox_socket are relayed as matchbox_server relays them', async () => {
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
