import type { Backend } from '@peerage/core'
import { RegistryUnavailable, memberLimits } from '@peerage/core'
import type { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { eventually } from '../../testing/peerjs-fixture.js'
import { malformedFrames } from '../../testing/malformed-frames.js'
import { framesOf, twoNodes, type TopicNode } from '../../testing/topics-fixture.js'
import { unlimited } from '../../testing/unlimited.js'
import { closeWires, type WireFixtureOptions } from '../../testing/wire-fixture.js'
import type { CheckedAccess } from '../shared/access.js'
import { TopicConnection } from '../topics/connection.js'
import { yWebrtc } from './wire.js'

let clock: FakeClock

async function start(more: WireFixtureOptions = {}) {
  const made = await twoNodes(yWebrtc, more)
  clock = made.clock
  return made
}

const subscribe = (...topics: (string | number | null)[]) => ({ type: 'subscribe', topics })
const publish = (topic: string, data: unknown) => ({ type: 'publish', topic, data })
const announce = (topic: string, from: string) => publish(topic, { type: 'announce', from })
const signal = (topic: string, from: string, to: string) => publish(topic, { type: 'signal', from, to })

/** Opens a socket that has subscribed to the topics just now. */
async function newcomer(node: TopicNode, ...topics: string[]): Promise<WirePeer> {
  const peer = node.connect('/y-webrtc')
  await peer.opened()
  peer.send(subscribe(...topics))
  await synced(peer)
  return peer
}

/** Opens a socket that has subscribed to the topics a second ago, so that it need not publish before it hears others [YW13]. */
async function subscribed(node: TopicNode, ...topics: string[]): Promise<WirePeer> {
  const peer = await newcomer(node, ...topics)
  await clock.advance(1_000)
  return peer
}

/** Waits until the node has handled all frames of the peer: a ping is answered after them. */
async function synced(...peers: WirePeer[]): Promise<void> {
  for (const peer of peers) {
    const pongs = (): number => peer.frames.filter((frame) => frame === PONG).length
    const before = pongs()
    peer.send({ type: 'ping' })
    await peer.until('pong', () => pongs() > before)
  }
}
const PONG = '{"type":"pong"}'

/** Who sent these publications. */
const fromOf = (publications: unknown[]): unknown[] =>
  publications.map((one) => (one as { data: { from?: unknown } }).data.from)

/** The publications that a peer got. */
const got = (peer: WirePeer): unknown[] => framesOf(peer).filter((frame) => JSON.stringify(frame) !== PONG)

/** Lets time pass, so that the sockets are read meanwhile. */
async function passed(clock: FakeClock, ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 500) {
    for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(Math.min(leftMs, 500))
  }
}

afterEach(closeWires)

describe('a publication', () => {
  test('[YW4] reaches the subscribers on all nodes, and its sender', async () => {
    const { a, b } = await start()
    const [alice, bob, carol] = [
      await subscribed(a, 'room'),
      await subscribed(a, 'room'),
      await subscribed(b, 'room'),
    ]
    const other = await subscribed(b, 'another')
    alice.send(announce('room', 'alice'))
    for (const peer of [alice, bob, carol]) {
      await peer.frame(2)
      expect(got(peer)).toEqual([{ ...announce('room', 'alice'), clients: 3 }])
    }
    await synced(other)
    expect(got(other)).toEqual([])
  })

  test('[YW4] needs no subscription of its sender', async () => {
    const { a, b } = await start()
    const [alice, carol] = [await subscribed(a), await subscribed(b, 'room')]
    alice.send(publish('room', { any: 'value' }))
    await carol.frame(2)
    await synced(alice)
    expect([got(alice), got(carol)]).toEqual([[], [{ ...publish('room', { any: 'value' }), clients: 1 }]])
  })

  test('[YW13] of two peers whose announcements cross, only one hears the other', async () => {
    const held: (() => void)[] = []
    const hold = (): Promise<void> => new Promise((resolve) => held.push(resolve))
    const { a, b } = await start({ wrap: (backend) => withPublish(backend, hold) })
    const [alice, carol] = [await newcomer(a, 'room'), await newcomer(b, 'room')]
    alice.send(announce('room', 'alice'))
    carol.send(announce('room', 'carol'))
    await eventually('both are on their way', () => held.length === 2)
    for (const release of held) release()
    for (const [peer, name] of [
      [alice, 'alice'],
      [carol, 'carol'],
    ] as const)
      await peer.until(`the echo of ${name}`, () => fromOf(got(peer)).includes(name))
    expect([fromOf(got(alice)), fromOf(got(carol))].toSorted((a, b) => a.length - b.length)).toEqual([
      [expect.any(String)],
      expect.arrayContaining(['alice', 'carol']),
    ])
    // From then on both hear all.
    alice.send(announce('room', 'again'))
    await eventually('carol hears it', () => held.length === 3)
    held[2]?.()
    await carol.until('again', () => fromOf(got(carol)).includes('again'))
  })

  // The announcement comes some milliseconds after the subscription. Two documents once never met, because a peer heard
  // another one in between.
  test('[YW13] a peer hears nobody before its own announcement, for a second', async () => {
    const { a, b } = await start()
    const [alice, carol] = [await newcomer(a, 'room'), await newcomer(b, 'room')]
    alice.send(publish('room', 'from alice'))
    await alice.until('her echo', () => got(alice).length === 1)
    carol.send(publish('room', 'from carol'))
    await alice.until('carol', () => got(alice).length === 2)
    await carol.until('her echo', () => got(carol).length > 0)
    expect(got(carol)).toMatchObject([{ data: 'from carol' }])
    const late = await newcomer(b, 'room')
    alice.send(publish('room', 'once'))
    await alice.until('her second echo', () => got(alice).length === 3)
    await clock.advance(1_000)
    alice.send(publish('room', 'again'))
    await late.until('it hears alice', () => got(late).length === 1)
    expect(got(late)).toMatchObject([{ data: 'again' }])
  })

  test('[YW5] waits for the subscriptions that its socket has asked for before, and keeps its place', async () => {
    let release = (): void => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    const { a, b } = await start({ wrap: (backend) => withSubscribe(backend, () => held) })
    const [alice, carol] = [a.connect('/y-webrtc'), b.connect('/y-webrtc')]
    for (const peer of [alice, carol]) {
      await peer.opened()
      peer.send(subscribe())
      peer.send(subscribe('room'))
    }
    for (const n of [1, 2, 3]) alice.send(publish('room', n))
    await new Promise((resolve) => alice.socket.once('pong', resolve).ping())
    expect(alice.frames).toEqual([])
    release()
    await alice.frame(3)
    expect(got(alice)).toMatchObject([1, 2, 3].map((n) => publish('room', n)))
  })

  test('[YW6] counts the subscribers of its own node now, and those of others at most a beat later', async () => {
    const { a, b } = await start()
    const [alice, bob, carol] = [
      await subscribed(a, 'room'),
      await subscribed(a, 'room'),
      await subscribed(b, 'room'),
    ]
    const clients = async (): Promise<unknown> => {
      const before = alice.frames.length
      alice.send(publish('room', 1))
      await alice.frame(before + 1)
      return framesOf(alice)[before]
    }
    const counted = (members: number): unknown => ({ ...publish('room', 1), clients: members })
    expect(await clients()).toEqual(counted(3))
    await bob.close()
    await eventually('gone', () => a.gateway.connections === 1)
    expect(await clients()).toEqual(counted(2))
    carol.send({ type: 'unsubscribe', topics: ['room'] })
    await synced(carol)
    await clock.advance(2_000)
    expect(await clients()).toEqual(counted(1))
  })
})

describe('a topic', () => {
  test('[YW3] that is subscribed to twice gives one copy, and none after it is left', async () => {
    const { a } = await start()
    const [alice, bob] = [await subscribed(a, 'room'), await subscribed(a, 'room', 'room')]
    bob.send(subscribe('room', 7, null))
    await synced(bob)
    alice.send(publish('room', 1))
    await alice.frame(2)
    await synced(bob)
    expect(got(bob)).toHaveLength(1)
    bob.send({ type: 'unsubscribe', topics: ['room', 'never'] })
    await synced(bob)
    alice.send(publish('room', 2))
    await alice.frame(3)
    await synced(bob)
    expect(got(bob)).toHaveLength(1)
  })

  const topics = [
    '',
    ' ',
    '#',
    '#47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU',
    'a/b',
    '__proto__',
    'räume 🙂',
    '\0\n',
    '\ud800',
    '\udbff',
    '\ufffd',
    'x'.repeat(129),
    'x'.repeat(60_000),
  ]

  test('[YW2] may be any text, and no two are the same room', async () => {
    const { a, b } = await start()
    const peers = await Promise.all(topics.map((topic) => subscribed(b, topic)))
    const alice = await subscribed(a)
    for (const topic of topics) alice.send(publish(topic, 1))
    for (const [at, peer] of peers.entries()) {
      await peer.frame(2)
      await synced(peer)
      expect(got(peer)).toEqual([{ ...publish(topics[at] ?? '', 1), clients: 1 }])
    }
  })

  test('[YW1] [YW2] of another app is another one', async () => {
    const { a } = await start({ settings: { apps: { chess: {}, go: {} }, defaultApp: 'chess' } })
    const [chess, go] = [a.connect('/y-webrtc/chess/any/path'), a.connect('/y-webrtc/go')]
    for (const peer of [chess, go]) {
      await peer.opened()
      peer.send(subscribe('room'))
      await synced(peer)
    }
    chess.send(publish('room', 1))
    await chess.frame(2)
    await synced(go)
    expect(got(go)).toEqual([])
    expect(a.node.rooms.count).toBe(0)
  })
})

describe('a publication for one peer', () => {
  test('[YW7] leaves out sockets that have shown other ids in this topic, but not its sender', async () => {
    const { a, b } = await start()
    const peers = [
      await subscribed(a, 'room', 'hall'),
      await subscribed(a, 'room', 'hall'),
      await subscribed(b, 'room', 'hall'),
    ]
    const [alice, bob, carol] = peers
    const silent = await subscribed(b, 'room')
    for (const [at, id] of ['alice', 'bob', 'carol'].entries()) peers[at]?.send(announce('room', id))
    for (const peer of [...peers, silent]) await peer.frame(4)
    alice?.send(signal('room', 'alice', 'carol'))
    // In this topic only alice has shown an id.
    alice?.send(announce('hall', 'alice'))
    bob?.send(signal('hall', 'bob', 'carol'))
    for (const peer of peers) await peer.until('the last', () => (peer.frames.at(-1) ?? '').includes('hall'))
    await synced(...peers, silent)
    const lasts = (peer?: WirePeer): unknown[] => (peer === undefined ? [] : got(peer).slice(3))
    const to = (topic: string, from: string): unknown => ({
      ...signal(topic, from, 'carol'),
      clients: topic === 'room' ? 4 : 3,
    })
    const hall = { ...announce('hall', 'alice'), clients: 3 }
    expect(lasts(alice)).toEqual([to('room', 'alice'), hall])
    expect(lasts(bob)).toEqual([hall, to('hall', 'bob')])
    expect(lasts(carol)).toEqual([to('room', 'alice'), hall, to('hall', 'bob')])
    expect(lasts(silent)).toEqual([to('room', 'alice')])
  })

  test('[YW7] reaches a peer whose id others have taken, too', async () => {
    const { a, b } = await start()
    const [alice, bob, thief] = [
      await subscribed(a, 'room'),
      await subscribed(b, 'room'),
      await subscribed(b, 'room'),
    ]
    bob.send(announce('room', 'bob'))
    await alice.frame(2)
    for (let n = 0; n < 20; n++) thief.send(signal('room', 'bob', `x${n}`))
    thief.send(announce('room', 'alice'))
    await alice.until('the announcement', () => (alice.frames.at(-1) ?? '').includes('"alice"'))
    alice.send(signal('room', 'alice', 'bob'))
    await bob.until('the signal', () => (bob.frames.at(-1) ?? '').includes('"to":"bob"'))
  })

  test('[YW7] reaches a peer that has shown more than 8 ids', async () => {
    const { a } = await start()
    const [alice, many] = [await subscribed(a, 'room'), await subscribed(a, 'room')]
    for (let n = 0; n < 8; n++) many.send(announce('room', `id${n}`))
    await alice.frame(9)
    alice.send(signal('room', 'alice', 'unknown'))
    await synced(alice, many)
    expect(got(many)).toHaveLength(8)
    many.send(announce('room', 'id8'))
    await alice.until('the ninth', () => (alice.frames.at(-1) ?? '').includes('id8'))
    alice.send(signal('room', 'alice', 'unknown'))
    await many.until('the signal', () => (many.frames.at(-1) ?? '').includes('unknown'))
  })
})

describe('what a node cannot do', () => {
  test('[YW9] no malformed frame harms the node or the neighbours', async () => {
    const { a, b } = await start()
    const [neighbour, far] = [await subscribed(a, 'room'), await subscribed(b, 'room')]
    const valid = [
      subscribe('room'),
      { type: 'unsubscribe', topics: ['room'] },
      signal('hall', 'alice', 'bob'),
      { type: 'ping' },
    ]
    const frames = [...malformedFrames(valid)]
    // A socket is closed after 100 malformed frames.
    for (let at = 0; at < frames.length; at += 100) {
      const bad = await subscribed(a)
      for (const frame of frames.slice(at, at + 100)) bad.send(frame)
      await synced(bad)
      await bad.close()
    }
    neighbour.send(publish('room', { text: 'still here' }))
    await far.until('the publication', () => (far.frames.at(-1) ?? '').includes('still here'))
    expect(frames.length).toBeGreaterThan(1_000)
    expect(a.seen.filter((line) => line.startsWith('error'))).toEqual([])
  })

  test('[YW9] a socket is closed after 100 malformed frames', async () => {
    const { a } = await start()
    const bad = await subscribed(a)
    for (let n = 0; n < 101; n++) bad.send('{"type":"publish"}')
    await eventually('101', () => a.seen.filter((line) => line === 'rejected malformed').length === 101)
    await clock.advance(4_250)
    expect((await bad.ended()).code).toBe(4503)
  })

  test('[YW10] a publication that the store does not take for 15 s closes its socket, and a socket without one stays', async () => {
    const { a, clock, cluster } = await start()
    const [alice, bob] = [await subscribed(a, 'room'), await subscribed(a)]
    cluster.setDown(true)
    alice.send(announce('room', 'alice'))
    await synced(alice)
    for (let second = 0; second < 14; second++) {
      await clock.advance(1_000)
      await synced(alice, bob)
    }
    expect([alice.end, a.seen.includes('room registry-unavailable')]).toEqual([undefined, false])
    await clock.advance(1_500)
    await eventually('given up', () => a.seen.includes('room registry-unavailable'))
    await clock.advance(1_250)
    expect(await alice.ended()).toEqual({
      code: 4007,
      reason: 'messages may have been lost; connect again, subscribe and announce anew',
    })
    expect(bob.end).toBeUndefined()
  })

  test('[YW10] a subscription that fails closes its socket soon', async () => {
    const fails = (backend: Backend) =>
      withSubscribe(backend, () => Promise.reject(new RegistryUnavailable('no answer')))
    const { a } = await start({ wrap: fails })
    const alice = await subscribed(a, 'room')
    await clock.advance(1_250)
    expect((await alice.ended()).code).toBe(4007)
    expect(a.seen.filter((line) => line.startsWith('error'))).toEqual([])
  })

  test('[YW10] publications in an outage arrive once in their order when the store is back, and then the sockets are closed', async () => {
    const { a, b, clock, cluster } = await start()
    const [alice, carol] = [await subscribed(a, 'room'), await subscribed(b, 'room')]
    cluster.setDown(true)
    for (const n of [1, 2, 3]) alice.send(publish('room', n))
    await synced(alice)
    await clock.advance(3_000)
    cluster.setDown(false)
    for (let at = 0; at < 4; at++) await clock.advance(250)
    await carol.until('the third', () => got(carol).length === 3)
    await synced(alice, carol)
    for (const peer of [alice, carol])
      expect(got(peer)).toMatchObject([1, 2, 3].map((n) => publish('room', n)))
    expect([alice.end, carol.end]).toEqual([undefined, undefined])
    for (let at = 0; at < 24; at++) await clock.advance(250)
    for (const peer of [alice, carol]) expect((await peer.ended()).code).toBe(4007)
  })

  test('[YW10] a socket whose subscription failed says nothing in this topic: nobody could answer it', async () => {
    let isDown = true
    const fails = (backend: Backend) =>
      withSubscribe(backend, () =>
        isDown ? Promise.reject(new RegistryUnavailable('no answer')) : Promise.resolve(),
      )
    const { a, b } = await start({ wrap: fails })
    const alice = await newcomer(a, 'room', 'hall')
    isDown = false
    const carol = await newcomer(b, 'room', 'other')
    for (const topic of ['room', 'other']) carol.send(announce(topic, 'carol'))
    await carol.until('her echoes', () => got(carol).length === 2)
    alice.send(announce('room', 'alice'))
    alice.send(announce('other', 'alice'))
    await carol.until('the other topic', () => got(carol).length > 2)
    expect(got(carol).slice(2)).toMatchObject([announce('other', 'alice')])
    await clock.advance(1_250)
    expect((await alice.ended()).code).toBe(4007)
  })

  test('[YW10] after a doubt every socket with topics is closed at its own time, once it is quiet for 2 s', async () => {
    const { a, clock, cluster } = await start()
    const peers = await Promise.all(Array.from({ length: 40 }, () => subscribed(a, 'room', 'hall')))
    const idle = await subscribed(a)
    const busy = await subscribed(a, 'busy')
    cluster.flush()
    const open = (): number => a.gateway.connections - 2
    const left: number[] = []
    for (let at = 0; at < 23; at++) {
      busy.send(publish('busy', at))
      await clock.advance(250)
      await eventually('ended', () => open() === peers.filter(({ end }) => end === undefined).length)
      await synced(idle, busy)
      left.push(open())
    }
    for (const peer of peers) expect((await peer.ended()).code).toBe(4007)
    expect(left[7]).toBe(40)
    expect(new Set(left).size).toBeGreaterThan(4)
    expect([idle.end, busy.end]).toEqual([undefined, undefined])
    for (let at = 0; at < 15; at++) {
      busy.send(publish('busy', at))
      await clock.advance(1_000)
      if (busy.end === undefined) await synced(idle)
    }
    expect((await busy.ended()).code).toBe(4007)
    const back = await subscribed(a, 'room')
    back.send(announce('room', 'back'))
    await back.frame(2)
  })

  test('[YW10] a peer that does not read is closed, so that it begins anew', async () => {
    const { a } = await start()
    const [alice, slow] = [await subscribed(a, 'room'), await subscribed(a, 'room')]
    slow.socket.pause()
    const before = clock.pending
    for (let n = 0; n < 1_000 && clock.pending === before; n++) {
      alice.send(publish('room', { text: 'x'.repeat(60_000) }))
      await alice.frame(2 + n)
    }
    await clock.advance(1_250)
    slow.socket.resume()
    expect((await slow.ended()).code).toBe(4003)
    await eventually('closed', () => a.seen.includes('closed slow-consumer'))
    await synced(alice)
  })
})

describe('what a peer may use', () => {
  const allowing = (rooms: { names?: string[]; prefixes?: string[] }): CheckedAccess => ({
    admit: ({ app }) => Promise.resolve({ ok: true, app: app ?? ('default' as never), rooms }),
  })

  test('[YW11] only topics that its access rules grant', async () => {
    const { a } = await start({ access: allowing({ names: ['room'], prefixes: ['team-'] }) })
    const [alice, bob] = [
      await subscribed(a, 'room', 'team-1', 'secret'),
      await subscribed(a, 'room', 'team-1', 'secret'),
    ]
    for (const topic of ['secret', 'room', 'team-1', 'teams']) alice.send(publish(topic, { topic }))
    await bob.frame(3)
    await synced(alice, bob)
    expect(got(bob)).toEqual(
      ['room', 'team-1'].map((topic) => ({ ...publish(topic, { topic }), clients: 2 })),
    )
    expect(a.seen.filter((line) => line === 'rejected forbidden')).toHaveLength(4)
  })

  test('[YW12] 10,000 topics: the first 512 are kept, and nothing is left when it has gone', async () => {
    const { a, b } = await start()
    const alice = await subscribed(a)
    const all = Array.from({ length: 10_000 }, (_, n) => `t${n}`)
    for (let at = 0; at < all.length; at += 500) alice.send(subscribe(...all.slice(at, at + 500)))
    await synced(alice)
    expect(a.node.anonymousRooms.count).toBe(memberLimits.anonymousRooms)
    expect(a.seen.filter((line) => line === 'rejected too-many')).toHaveLength(
      10_000 - memberLimits.anonymousRooms,
    )
    const carol = await subscribed(b, 't511', 't512')
    for (const topic of ['t511', 't512']) carol.send(publish(topic, { topic }))
    await alice.until('the publication', () => (alice.frames.at(-1) ?? '').includes('t511'))
    await alice.close()
    await eventually('left', () => a.node.anonymousRooms.count === 0)
  })

  test('[YW12] a join costs as much as a message, and waits over the rate', async () => {
    const connection = { ...unlimited.connection, messagesPerSecond: 100 }
    const { a } = await start({ limitValues: { ...unlimited, connection } })
    const alice = await subscribed(a)
    for (const part of ['a', 'b', 'c'])
      alice.send(subscribe(...Array.from({ length: 90 }, (_, n) => `${part}${n}`)))
    await eventually('joined', () => a.node.anonymousRooms.count === 180)
    await passed(clock, 1_000)
    await eventually('joined', () => a.node.anonymousRooms.count === 270)
    expect(alice.end).toBeUndefined()
  })

  // 50 members a second, and 100 at once.
  const slow = {
    limitValues: { ...unlimited, connection: { ...unlimited.connection, messagesPerSecond: 5 } },
  }
  const forwarded = (node: TopicNode): number => node.seen.filter((line) => line === 'room forwarded').length

  /** Peers on both nodes, subscribed to the topic `room`. */
  async function crowd({ a, b }: { a: TopicNode; b: TopicNode }, size: number): Promise<WirePeer[]> {
    return Promise.all(Array.from({ length: size }, (_, n) => newcomer(n % 2 === 0 ? a : b, 'room')))
  }

  test('[YW12] a publication costs one for each subscriber, and waits over the rate', async () => {
    const nodes = await start(slow)
    const { a, clock } = nodes
    const peers = await crowd(nodes, 20)
    const [alice] = peers
    await clock.advance(2_000)
    for (let n = 0; n < 8; n++) alice?.send(publish('room', n))
    await eventually('forwarded', () => forwarded(a) === 5)
    await passed(clock, 390)
    expect(forwarded(a)).toBe(5)
    await passed(clock, 10)
    for (const peer of peers) await peer.frame(1 + 6)
    await passed(clock, 400)
    await passed(clock, 400)
    for (const peer of peers) {
      await peer.frame(1 + 8)
      expect(got(peer)).toMatchObject(Array.from({ length: 8 }, (_, n) => publish('room', n)))
    }
    expect(alice?.end).toBeUndefined()
  })

  test('[YW10] a peer whose publication would wait for more than 10 s is closed with 4004', async () => {
    const nodes = await start(slow)
    const { a, clock } = nodes
    const [alice] = await crowd(nodes, 20)
    await clock.advance(2_000)
    alice?.send(publish('room', 'x'.repeat(40_000)))
    alice?.send(publish('room', 'one more'))
    await eventually('dropped', () => a.seen.includes('rejected rate-limited'))
    await clock.advance(6_250)
    expect((await alice?.ended())?.code).toBe(4004)
    expect(forwarded(a)).toBe(1)
  })

  test('[YW12] a publication with an addressee costs for the share that gets it all the same, at least a tenth', async () => {
    const nodes = await start()
    const pays = vi.spyOn(TopicConnection.prototype, 'paysToSay')
    const peers = await crowd(nodes, 20)
    const [alice, , other, , last] = peers
    if (alice === undefined || other === undefined || last === undefined) throw new Error('there are 20')
    await passed(nodes.clock, 2_000)
    /** For how many members a publication of the peer costs. */
    const costOf = async (peer: WirePeer, publication: object): Promise<number | undefined> => {
      peer.send(publication)
      await synced(peer)
      return pays.mock.lastCall?.[0]
    }
    const toNobody = signal('room', 'alice', 'nobody')
    expect(await costOf(alice, publish('room', { from: 'alice' }))).toBe(20)
    // Of the nine neighbours on its node nobody has shown an id, so all of them get it.
    expect(await costOf(alice, toNobody)).toBe(20)
    for (const [n, peer] of peers.entries())
      if (peer !== alice && n % 2 === 0) await costOf(peer, announce('room', `id-${n}`))
    expect(await costOf(alice, toNobody)).toBe(2)
    // One gets everything, because it has shown too many ids.
    for (let n = 0; n < 8; n++) await costOf(other, announce('room', `id-2-${n}`))
    expect(await costOf(alice, toNobody)).toBe(Math.ceil((20 * 1) / 9))
    // Another one is new.
    last.send({ type: 'unsubscribe', topics: ['room'] })
    last.send(subscribe('room'))
    await synced(last)
    expect(await costOf(alice, toNobody)).toBe(Math.ceil((20 * 2) / 9))
    for (const peer of [other, last]) await peer.close()
    await passed(nodes.clock, 2_000)
    expect(await costOf(alice, toNobody)).toBe(2)
    // Its node has nobody else, so nothing shows whom it reaches.
    for (const [n, peer] of peers.entries()) if (peer !== alice && n % 2 === 0) await peer.close()
    await passed(nodes.clock, 2_000)
    expect(await costOf(alice, toNobody)).toBe(11)
  })

  test('[UW8] 2,000 sockets that subscribe and vanish leave nothing behind', async () => {
    const { a, b } = await start()
    const far = await subscribed(b, 'room')
    const before = clock.pending
    for (let batch = 0; batch < 10; batch++) {
      const peers = await Promise.all(
        Array.from({ length: 200 }, (_, n) => newcomer(a, 'room', `own ${batch} ${n}`)),
      )
      for (const peer of peers.slice(0, 20)) peer.send(announce('room', `id ${batch}`))
      for (const peer of peers) peer.socket.terminate()
      await eventually('gone', () => a.gateway.connections === 0)
      await clock.advance(5_000)
    }
    await eventually('forgotten', () => a.node.sessions.count === 0)
    expect([a.node.anonymousRooms.count, b.node.anonymousRooms.count, clock.pending]).toEqual([0, 1, before])
    far.send(publish('room', 'last'))
    await far.until('the last', () => (far.frames.at(-1) ?? '').includes('last'))
    expect(got(far).at(-1)).toEqual({ ...publish('room', 'last'), clients: 1 })
  }, 60_000)
})

/** A backend whose subscriptions do something else first. */
function withSubscribe(backend: Backend, first: () => Promise<void>): Backend {
  const { rooms } = backend
  return withRooms(backend, 'subscribe', async (...args: Parameters<typeof rooms.subscribe>) => {
    await first()
    await rooms.subscribe(...args)
  })
}

/** A backend whose publications of announcements do something else first. */
function withPublish(backend: Backend, first: () => Promise<void>): Backend {
  const { rooms } = backend
  return withRooms(backend, 'publish', async (...args: Parameters<typeof rooms.publish>) => {
    if (JSON.stringify(args).includes('announce')) await first()
    return rooms.publish(...args)
  })
}

function withRooms<M extends 'subscribe' | 'publish'>(
  backend: Backend,
  method: M,
  replacement: Backend['rooms'][M],
): Backend {
  const rooms = new Proxy(backend.rooms, {
    get(target, key) {
      if (key === method) return replacement
      const member: unknown = Reflect.get(target, key)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  return {
    ...backend,
    rooms,
    start: (onEvent) => backend.start(onEvent),
    stop: () => backend.stop(),
  }
}
