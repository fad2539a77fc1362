import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { afterEach, expect, test } from 'vitest'
import { malformedFrames } from '../../testing/malformed-frames.js'
import { eventually } from '../../testing/peerjs-fixture.js'
import { framesOf, twoNodes, type TopicNode } from '../../testing/topics-fixture.js'
import { closeWires, type WireFixtureOptions } from '../../testing/wire-fixture.js'
import { yWebrtc } from '../y-webrtc/wire.js'
import { trystero } from './wire.js'

const start = (more: WireFixtureOptions = {}) => twoNodes(trystero, more)

const subscribe = (topic: string) => ({ type: 'subscribe', topic })
const unsubscribe = (topic: string) => ({ type: 'unsubscribe', topic })
const publish = (topic: string, payload: string | number) => ({ type: 'publish', topic, payload })

/** Waits until the node has handled all frames of the peer. The wire has no ping, so the peer publishes to itself. */
async function synced(peer: WirePeer): Promise<void> {
  const own = `own ${serial++}`
  for (const frame of [subscribe(own), publish(own, 'synced')]) peer.send(frame)
  await peer.until('its own publication', () => peer.frames.some((frame) => frame.includes(own)))
  peer.send(unsubscribe(own))
}
let serial = 0

/** Waits until the node has got all frames of the peer. Works in an outage, too. */
const read = (peer: WirePeer): Promise<unknown> =>
  new Promise((resolve) => peer.socket.once('pong', resolve).ping())

async function subscribed(node: TopicNode, ...topics: string[]): Promise<WirePeer> {
  const peer = node.connect('/trystero/default')
  await peer.opened()
  for (const topic of topics) peer.send(subscribe(topic))
  await synced(peer)
  return peer
}

/** The publications that a peer got in these topics. */
const got = (peer: WirePeer): unknown[] =>
  framesOf(peer).filter((frame) => !JSON.stringify(frame).includes('synced'))

afterEach(closeWires)

test('[TR1] [TR4] a publication reaches the subscribers on all nodes, its sender too, as topic and payload', async () => {
  const { a, b } = await start()
  const [alice, bob, carol] = [
    await subscribed(a, 'root', 'alice'),
    await subscribed(a, 'root'),
    await subscribed(b, 'root'),
  ]
  alice.send(publish('root', '{"peerId":"alice"}'))
  carol.send(publish('alice', 'an offer'))
  await alice.until('both', () => got(alice).length === 2)
  await carol.until('one', () => got(carol).length === 1)
  await synced(bob)
  const announced = { topic: 'root', payload: '{"peerId":"alice"}' }
  expect(got(alice)).toContainEqual(announced)
  expect(got(alice)).toContainEqual({ topic: 'alice', payload: 'an offer' })
  expect([got(bob), got(carol)]).toEqual([[announced], [announced]])
})

test('[TR3] a topic that is subscribed to twice gives one copy, and none after it is left', async () => {
  const { a } = await start()
  const [alice, bob] = [await subscribed(a, 'root', 'root'), await subscribed(a, 'root')]
  bob.send(publish('root', 1))
  await synced(bob)
  await synced(alice)
  alice.send(unsubscribe('root'))
  await synced(alice)
  bob.send(publish('root', 2))
  await synced(bob)
  await synced(alice)
  expect([got(alice), got(bob)]).toEqual([
    [{ topic: 'root', payload: 1 }],
    [1, 2].map((payload) => ({ topic: 'root', payload })),
  ])
})

test('[TR2] a topic of this wire is another one than that of y-webrtc', async () => {
  const { a, b } = await twoNodes(trystero, {}, yWebrtc)
  const alice = await subscribed(a, 'room')
  const other = b.connect('/y-webrtc')
  await other.opened()
  other.send({ type: 'subscribe', topics: ['room'] })
  other.send({ type: 'publish', topic: 'room', data: 1 })
  await other.frame(1)
  await synced(alice)
  expect([got(alice), other.frames.length]).toEqual([[], 1])
})

test('[TR5] no malformed frame harms the node or the neighbours', async () => {
  const { a, b } = await start()
  const [neighbour, far] = [await subscribed(a, 'root'), await subscribed(b, 'root')]
  const frames = [...malformedFrames([subscribe('root'), unsubscribe('root'), publish('hall', 'x')])]
  for (let at = 0; at < frames.length; at += 100) {
    const bad = await subscribed(a)
    for (const frame of frames.slice(at, at + 100)) bad.send(frame)
    await synced(bad)
    await bad.close()
  }
  neighbour.send(publish('root', 'still here'))
  await far.until('the publication', () => (far.frames.at(-1) ?? '').includes('still here'))
  expect(a.seen.filter((line) => line.startsWith('error'))).toEqual([])
})

test('[TR6] through a doubt the socket stays open, and gets what was published meanwhile and later', async () => {
  const { a, b, clock, cluster } = await start()
  const [alice, carol] = [await subscribed(a, 'root'), await subscribed(b, 'root')]
  cluster.setDown(true)
  alice.send(publish('root', 'meanwhile'))
  await read(alice)
  cluster.setDown(false)
  for (let second = 0; second < 5; second++) await clock.advance(1_000)
  alice.send(publish('root', 'again'))
  await carol.until('the publication', () => (carol.frames.at(-1) ?? '').includes('again'))
  for (const peer of [alice, carol])
    expect(got(peer)).toEqual(['meanwhile', 'again'].map((payload) => ({ topic: 'root', payload })))
})

test('[TR7] a subscription that fails is made good, unless its peer leaves the topic', async () => {
  const { a, clock, cluster } = await start()
  const alice = await subscribed(a)
  cluster.setDown(true)
  for (const topic of ['root', 'left']) alice.send(subscribe(topic))
  alice.send(unsubscribe('left'))
  await read(alice)
  await clock.advance(1_500)
  cluster.setDown(false)
  await clock.advance(1_500)
  await eventually('joined', () => a.node.anonymousRooms.count === 1)
  alice.send(publish('left', 'to nobody'))
  alice.send(publish('root', 'again'))
  await alice.until('the publication', () => (alice.frames.at(-1) ?? '').includes('again'))
  expect(got(alice)).toEqual([{ topic: 'root', payload: 'again' }])
  await alice.close()
  await eventually('gone', () => a.node.anonymousRooms.count === 0)
})

test('[TR7] a peer that goes while its subscription is tried again leaves nothing behind', async () => {
  const { a, clock, cluster } = await start()
  const alice = await subscribed(a)
  cluster.setDown(true)
  alice.send(subscribe('root'))
  await read(alice)
  await alice.close()
  await eventually('gone', () => a.gateway.connections === 0)
  cluster.setDown(false)
  await clock.advance(2_500)
  expect([a.node.anonymousRooms.count, a.node.sessions.count]).toEqual([0, 0])
})
