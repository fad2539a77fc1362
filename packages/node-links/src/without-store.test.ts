import { Node, defaultTimes, memoryCluster, type Message } from '@peerage/core'
import { arrive, peerNamed, type Arrival } from '@peerage/test-support/testing/core.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { defaultUnconfirmedLimits } from './link.js'
import { LinkedBus } from './linked-bus.js'
import { TestSocket } from './testing/socket-pair.js'

const { nodeLeaseMs, beatMs } = defaultTimes

interface TestNode {
  node: Node
  bus: LinkedBus
}

async function startNode(store: ReturnType<typeof memoryCluster>, clock: FakeClock): Promise<TestNode> {
  const backend = store.backend({ onError: () => undefined })
  const bus = new LinkedBus({
    inbox: backend.bus,
    dial: () => Promise.resolve(undefined),
    identify: () => undefined,
    status: (id) => backend.nodes.status(id),
    clock,
    most: 256,
    limits: defaultUnconfirmedLimits,
    onError: () => undefined,
    undelivered: () => undefined,
    onEvent: () => undefined,
  })
  const node = new Node({
    backend: { ...backend, bus },
    times: defaultTimes,
    clock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError: () => undefined,
    onEvent: () => undefined,
  })
  await node.start()
  return { node, bus }
}

function send(from: Arrival, node: Node, to: string, ref: string): void {
  const reply = { node: node.id, connection: from.connection.id, ref }
  const message: Message = {
    from: from.session.peer,
    to: peerNamed(to),
    wire: 'native',
    kind: 'message',
    reply,
    frame: ref,
  }
  void node.router.route(message)
}

test('[LINK14] [I12] without the store, messages on known routes go over a link until the lease ends, then both sides refuse', async () => {
  const clock = new FakeClock()
  const store = memoryCluster({ clock })
  const [a, b] = [await startNode(store, clock), await startNode(store, clock)]
  await clock.advance(beatMs)
  const [ada, bob] = [await arrive(a.node, 'ada'), await arrive(b.node, 'bob')]
  const pass = async (ms: number): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(ms)
    await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(30)
  }
  const both = async (ref: string): Promise<void> => {
    send(ada, a.node, 'bob', ref)
    send(bob, b.node, 'ada', ref)
    await pass(50)
  }
  await both('by the inbox')
  const [near, far] = TestSocket.pair()
  a.bus.adopt({ socket: near, node: b.node.id, dialled: true, rest: Buffer.alloc(0) })
  b.bus.adopt({ socket: far, node: a.node.id, dialled: false, rest: Buffer.alloc(0) })
  await both('by the link')

  store.setDown(true)
  await both('without the store')
  await pass(nodeLeaseMs - beatMs - 500)
  await both('still without')
  const arrived = ['by the inbox', 'by the link', 'without the store', 'still without']
  expect(bob.connection.frames).toEqual(arrived)
  expect(ada.connection.frames).toEqual(arrived)

  await pass(beatMs + 500)
  expect([a.node.fenced, b.node.fenced]).toEqual([true, true])
  await both('too late')
  expect(bob.connection.frames).toEqual(arrived)
  expect(ada.connection.frames).toEqual(arrived)
  for (const { connection } of [ada, bob])
    expect(connection.notices).toEqual([{ ref: 'too late', code: 'registry-unavailable' }])
})

test('[LINK14] [I12] a node without a lease takes only superseded and evicted over a link', async () => {
  const clock = new FakeClock()
  const store = memoryCluster({ clock })
  const [a, b] = [await startNode(store, clock), await startNode(store, clock)]
  await clock.advance(beatMs)
  const bob = await arrive(b.node, 'bob')
  const { lease } = bob.session
  await a.bus.publish(b.node.id, deliver(lease.epoch, 'before'))
  const [near, far] = TestSocket.pair()
  a.bus.adopt({ socket: near, node: b.node.id, dialled: true, rest: Buffer.alloc(0) })
  b.bus.adopt({ socket: far, node: a.node.id, dialled: false, rest: Buffer.alloc(0) })
  store.setDown(true)
  await clock.advance(nodeLeaseMs)
  expect(b.node.fenced).toBe(true)
  void a.bus.publish(b.node.id, deliver(lease.epoch, 'after'))
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  expect(a.bus.counts.envelopes.link).toBe(1)
  expect(bob.connection.frames).toEqual(['before'])
  expect(bob.connection.closed).toBeUndefined()
  void a.bus.publish(b.node.id, {
    type: 'superseded',
    peer: lease.peer,
    connection: bob.connection.id,
    epoch: lease.epoch,
  })
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  expect(bob.connection.closed).toBe('superseded')
})

function deliver(epoch: number, frame: string): Parameters<LinkedBus['publish']>[1] {
  const message: Message = {
    from: peerNamed('ada'),
    to: peerNamed('bob'),
    wire: 'native',
    kind: 'message',
    frame,
  }
  return { type: 'deliver', epoch, hops: 0, message }
}
