import { memoryCluster, mintNodeId, type Clock, type NodeStatus } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { describe, expect, test } from 'vitest'
import { defaultUnconfirmedLimits } from './link.js'
import { LinkedBus } from './linked-bus.js'
import { numbered } from './testing/envelopes.js'
import { linkedPair, type LinkedNode, type LinkedPair } from './testing/linked-pair.js'
import { TestSocket } from './testing/socket-pair.js'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Two nodes with a link. `a` has sent one envelope to `b` over the inbox. */
async function linked(
  limits = defaultUnconfirmedLimits,
): Promise<LinkedPair & { near: TestSocket; far: TestSocket }> {
  const pair = await linkedPair(limits)
  pair.a.send(pair.b, 1)
  await pair.pass(0)
  const [near, far] = pair.link()
  return { ...pair, near, far }
}

function writesOf(socket: TestSocket): Uint8Array[] {
  const writes: Uint8Array[] = []
  const write = socket.write.bind(socket)
  socket.write = (bytes) => {
    writes.push(bytes)
    return write(bytes)
  }
  return writes
}

describe('up', () => {
  test('[LINK2] envelopes from a link wait for earlier ones that are still arriving over the inbox', async () => {
    const { a, b, inboxes, link, pass } = await linkedPair()
    inboxes.delayMs = () => 400
    a.send(b, 3)
    await pass(0)
    link()
    a.send(b, 3)
    await pass(390)
    expect(b.received).toEqual([])
    await pass(40)
    expect(b.received).toEqual(upTo(6))
    // They are confirmed soon after, so the link stays.
    await pass(1_000)
    expect(a.bus.counts).toMatchObject({ up: 1, envelopes: { inbox: 3, link: 3 } })
  })

  test('[LINK2] a node sends over the inbox until a publish there has reached a subscriber', async () => {
    const { a, b, inboxes, link, pass } = await linkedPair()
    inboxes.fate = () => 'refused'
    link()
    a.send(b, 2)
    await pass(0)
    expect([...a.published.values()]).toEqual(['unavailable', 'unavailable'])
    inboxes.fate = () => 'arrives'
    a.send(b, 2)
    await pass(0)
    a.send(b, 2)
    await pass(30)
    expect(b.received).toEqual([2, 3, 4, 5])
    expect(a.bus.counts.envelopes).toEqual({ inbox: 4, link: 2 })
  })

  test.each([
    ['later', immediate],
    ['in the turn of its first frame', () => Promise.resolve()],
  ])(
    '[LINK2] a link that has begun to carry carries all, even if the inbox fails %s',
    async (_when, wait) => {
      const { a, b, inboxes, link, pass } = await linkedPair()
      a.send(b, 1)
      await pass(0)
      let refuse = (): void => undefined
      const refused = new Promise<'refused'>((resolve) => (refuse = () => resolve('refused')))
      inboxes.fate = () => refused
      a.send(b, 1)
      inboxes.fate = () => 'arrives'
      link()
      // The receiver waits for an envelope over the inbox that never comes.
      a.send(b, 2)
      await wait()
      refuse()
      await wait()
      a.send(b, 2)
      await pass(1_500)
      expect(b.received).toEqual([0, 2, 3, 4, 5])
      expect([...a.published].filter(([, sent]) => sent === 'unavailable')).toEqual([[1, 'unavailable']])
      expect(a.undelivered).toEqual([])
    },
  )

  test('[LINK2] if the inbox has lost an earlier envelope, the link ends, and no later one is lost', async () => {
    const { a, b, inboxes, link, pass } = await linkedPair()
    a.send(b, 1)
    await pass(0)
    inboxes.fate = () => 'lost'
    a.send(b, 1)
    await pass(0)
    inboxes.fate = () => 'arrives'
    link()
    a.send(b, 3)
    await pass(1_000)
    expect(b.received).toEqual([0, 2, 3, 4])
    expect(a.bus.counts.downs.unconfirmed).toBe(1)
    expect(b.bus.counts.repeated).toBe(0)
  })

  test('[LINK13] an envelope without a number is taken as it is', async () => {
    const { a, b, inboxes } = await linked()
    inboxes.receivers.get(b.id)?.(numbered(7))
    inboxes.receivers.get(b.id)?.(numbered(7))
    expect(b.received).toEqual([0, 7, 7])
    expect(a.bus.counts.up).toBe(1)
  })
})

describe('down', () => {
  test('[LINK3] unconfirmed envelopes go to the inbox in order, before anything new', async () => {
    const { a, b, near, pass } = await linked()
    near.cut = true
    a.send(b, 3)
    await pass(0)
    a.send(b, 3)
    await pass(0)
    expect(b.received).toEqual([0])
    near.destroy()
    await pass(0)
    a.send(b, 2)
    await pass(0)
    expect(b.received).toEqual(upTo(9))
    expect(new Set(a.published.values())).toEqual(new Set(['sent']))
  })

  test('[LINK3] an envelope that arrived and was not confirmed is not taken again', async () => {
    const { a, b, near, far, pass } = await linked()
    far.cut = true
    a.send(b, 3)
    await pass(30)
    expect(b.received).toEqual(upTo(4))
    near.destroy()
    await pass(30)
    expect(b.received).toEqual(upTo(4))
    expect(b.bus.counts.repeated).toBe(3)
  })

  test('[LINK3] an envelope that the inbox refuses, too, is reported as undelivered', async () => {
    const { a, b, near, inboxes, pass } = await linked()
    near.cut = true
    a.send(b, 2)
    await pass(0)
    inboxes.fate = () => 'refused'
    near.destroy()
    await pass(0)
    expect([...a.published.values()]).toEqual(['sent', 'sent', 'sent'])
    expect(a.undelivered).toEqual([1, 2])
  })

  test('[LINK3] when both sides send, each confirmation is part of a frame with envelopes', async () => {
    const { a, b, near, far, pass } = await linked()
    b.send(a, 1)
    await pass(30)
    const writes = [near, far].map(writesOf)
    for (let i = 0; i < 100; i++) {
      a.send(b, 1)
      b.send(a, 1)
      await pass(5)
    }
    expect(writes.map((frames) => frames.length)).toEqual([100, 100])
    // The last envelope arrived after the last frame of `a`, so it is confirmed alone.
    await pass(30)
    expect(writes.map((frames) => frames.length)).toEqual([101, 100])
    expect(a.published.size).toBe(a.count)
  })

  test('[LINK4] a link ends if an envelope is not confirmed for 500 ms', async () => {
    const { a, b, near, pass } = await linked()
    near.cut = true
    a.send(b, 1)
    await pass(495)
    expect(a.bus.counts.up).toBe(1)
    await pass(110)
    expect(a.bus.counts).toMatchObject({ up: 0, downs: { unconfirmed: 1 } })
    expect(b.received).toEqual(upTo(2))
  })

  test('[LINK4] a link on which everything is confirmed sends nothing, and stays', async () => {
    const { a, b, near, far, pass } = await linked()
    a.send(b, 5)
    await pass(100)
    const writes = [writesOf(near), writesOf(far)]
    await pass(60_000)
    expect(writes).toEqual([[], []])
    expect([a.bus.counts.up, b.bus.counts.up]).toEqual([1, 1])
  })

  test('[LINK4] a link with too much unconfirmed ends, and all of it arrives', async () => {
    const { a, b, near, pass } = await linked({ envelopes: 10, bytes: 1_000_000 })
    near.stalled = true
    a.send(b, 10)
    expect(a.bus.counts.up).toBe(1)
    a.send(b, 1)
    expect(a.bus.counts).toMatchObject({ up: 0, downs: { full: 1 } })
    await pass(0)
    expect(b.received).toEqual(upTo(12))
    expect(new Set(a.published.values())).toEqual(new Set(['sent']))
  })

  test('[LINK4] of several links the one with the most unconfirmed ends, whichever sent last', async () => {
    const store = memoryCluster()
    const bus = newBus({ inbox: store.backend().bus, limits: { envelopes: 10, bytes: 1_000_000 } })
    const [slow, good] = [mintNodeId(), mintNodeId()]
    await bus.subscribe(mintNodeId(), () => undefined)
    const sockets: TestSocket[] = []
    for (const node of [slow, good]) {
      await store.backend().bus.subscribe(node, () => undefined)
      await bus.publish(node, numbered(0))
      const [near] = TestSocket.pair()
      sockets.push(near)
      bus.adopt({ socket: near, node, dialled: true, rest: Buffer.alloc(0) })
    }
    for (let i = 1; i <= 10; i++) void bus.publish(slow, numbered(i))
    await immediate()
    void bus.publish(good, numbered(1))
    await immediate()
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, false])
    expect(bus.counts.downs.full).toBe(1)
    await bus.close()
  })

  test('[LINK4] confirmed envelopes make room for others, in number and in bytes', async () => {
    const { a, b, pass } = await linked({ envelopes: 10, bytes: 1_000 })
    for (let i = 0; i < 20; i++) {
      a.send(b, 9)
      await pass(25)
    }
    expect(a.bus.counts).toMatchObject({ up: 1, envelopes: { inbox: 1, link: 180 } })
    expect(b.received).toEqual(upTo(181))
  })

  test('[LINK4] a pause of the process counts as one check, however long it was', async () => {
    const clock = new LeapingClock()
    const store = memoryCluster()
    const [near, far] = TestSocket.pair()
    const [self, other] = [mintNodeId(), mintNodeId()]
    const bus = newBus({ inbox: store.backend().bus, clock })
    await store.backend().bus.subscribe(other, () => undefined)
    await bus.subscribe(self, () => undefined)
    await bus.publish(other, numbered(0))
    bus.adopt({ socket: near, node: other, dialled: true, rest: Buffer.alloc(0) })
    far.on('error', () => undefined)
    void bus.publish(other, numbered(1))
    await immediate()
    for (let i = 0; i < 5; i++) clock.leap(10_000)
    expect(bus.counts.up).toBe(1)
    clock.leap(10_000)
    expect(bus.counts).toMatchObject({ up: 0, downs: { unconfirmed: 1 } })
  })
})

describe('which link', () => {
  // Makes two connections: `first` dials the first one, and the other node dials the second one. Returns the sockets of
  // `a`.
  async function both(first: 'a' | 'b', waitMs = 0): Promise<{ pair: LinkedPair; sockets: TestSocket[] }> {
    const pair = await linkedPair()
    const second = first === 'a' ? 'b' : 'a'
    const sockets = [pair.link(first)[0]]
    await pair.pass(waitMs)
    sockets.push(pair.link(second)[0])
    await pair.pass(0)
    return { pair, sockets }
  }
  const lower = ({ a, b }: { a: LinkedNode; b: LinkedNode }): 'a' | 'b' => (a.id < b.id ? 'a' : 'b')

  test.each(['a', 'b'] as const)(
    '[LINK5] of two dials that meet, the lower NodeId’s stays; %s came first',
    async (first) => {
      for (let i = 0; i < 4; i++) {
        const { pair, sockets } = await both(first)
        const stays = lower(pair) === first ? 0 : 1
        expect(sockets.map(({ destroyed }) => destroyed)).toEqual([stays === 1, stays === 0])
        expect([pair.a.bus.counts.up, pair.b.bus.counts.up]).toEqual([1, 1])
      }
    },
  )

  test.each(['a', 'b'] as const)(
    '[LINK5] later a new connection replaces the link; %s came first',
    async (first) => {
      const { pair, sockets } = await both(first, 5_500)
      expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, false])
      expect([pair.a.bus.counts.up, pair.b.bus.counts.up]).toEqual([1, 1])
    },
  )

  test('[LINK5] a node dials after 20 envelopes within 2 s, and waits longer after each failure', async () => {
    const { a, b, clock, pass } = await linkedPair()
    a.send(b, 19)
    await pass(2_100)
    a.send(b, 19)
    expect(a.dialled).toEqual([])
    a.send(b, 1)
    expect(a.dialled).toEqual([b.id])
    const dialledAt = [clock.monotonic()]
    while (dialledAt.length < 9) {
      a.send(b, 20)
      await pass(50)
      if (a.dialled.length > dialledAt.length) dialledAt.push(clock.monotonic())
    }
    const waits = dialledAt.slice(1).map((at, i) => at - (dialledAt[i] ?? 0))
    waits.forEach((ms, i) => {
      const most = Math.min(1_000 * 2 ** i, 60_000)
      expect(ms).toBeGreaterThanOrEqual(most / 2)
      expect(ms).toBeLessThanOrEqual(most + 110)
    })
    expect(b.received).toEqual(upTo(a.count))
  })

  test('[LINK5] a node that is not live is not dialled', async () => {
    const dialled: NodeId[] = []
    let status: NodeStatus = { state: 'unknown' }
    const bus = newBus({ status: () => status, dial: (node) => Promise.resolve(void dialled.push(node)) })
    await bus.subscribe(mintNodeId(), () => undefined)
    const other = mintNodeId()
    for (let i = 0; i < 50; i++) void bus.publish(other, numbered(i))
    expect(dialled).toEqual([])
    status = { state: 'live' }
    void bus.publish(other, numbered(0))
    expect(dialled).toEqual([other])
  })

  test('[LINK5] a connection that a former identity dialled is closed', async () => {
    let dialled: (socket: TestSocket) => void = () => undefined
    const [near] = TestSocket.pair()
    const other = mintNodeId()
    const bus = newBus({
      dial: async (node) => {
        const socket = await new Promise<TestSocket>((resolve) => (dialled = resolve))
        return { socket, node, dialled: true, rest: Buffer.alloc(0) }
      },
    })
    await bus.subscribe(mintNodeId(), () => undefined)
    for (let i = 0; i < 20; i++) void bus.publish(other, numbered(i))
    await bus.subscribe(mintNodeId(), () => undefined)
    dialled(near)
    await immediate()
    expect(near.destroyed).toBe(true)
    expect(bus.counts.up).toBe(0)
  })

  test('[LINK6] the busiest links stay: another node gets one only with twice the traffic of the quietest', async () => {
    const clock = new FakeClock()
    const bus = newBus({ most: 2, clock })
    await bus.subscribe(mintNodeId(), () => undefined)
    const [one, two, three] = [mintNodeId(), mintNodeId(), mintNodeId()]
    const sockets = new Map<NodeId, TestSocket>()
    const link = (node: NodeId): void => {
      const [near] = TestSocket.pair()
      sockets.set(node, near)
      bus.adopt({ socket: near, node, dialled: true, rest: Buffer.alloc(0) })
    }
    const send = (node: NodeId, count: number): void => {
      for (let i = 0; i < count; i++) void bus.publish(node, numbered(i))
    }
    const isOpen = (): boolean[] => [one, two, three].map((node) => sockets.get(node)?.destroyed === false)
    send(one, 10)
    send(two, 6)
    link(one)
    link(two)
    send(three, 12)
    link(three)
    expect(isOpen()).toEqual([true, true, false])
    send(three, 1)
    link(three)
    await immediate()
    expect(isOpen()).toEqual([true, false, true])
    expect(bus.counts).toMatchObject({ up: 2, downs: { replaced: 1 } })
    // Only recent traffic counts.
    await clock.advance(25_000)
    send(two, 1)
    link(two)
    await immediate()
    expect(isOpen()[1]).toBe(true)
    expect(bus.counts.up).toBe(2)
    await bus.close()
  })

  test('[LINK6] without room, no connection from another node is wanted, and a dial ends no link', async () => {
    const bus = newBus({ most: 1 })
    await bus.subscribe(mintNodeId(), () => undefined)
    const [one, other] = [mintNodeId(), mintNodeId()]
    expect([bus.wants(one), bus.wants(other)]).toEqual([true, true])
    for (let i = 0; i < 10; i++) void bus.publish(one, numbered(i))
    const [near] = TestSocket.pair()
    bus.adopt({ socket: near, node: one, dialled: true, rest: Buffer.alloc(0) })
    expect(bus.wants(other)).toBe(false)
    for (let i = 0; i < 21; i++) void bus.publish(other, numbered(i))
    expect(bus.wants(other)).toBe(true)
    expect(near.destroyed).toBe(false)
    await bus.close()
    expect([bus.wants(one), bus.wants(other)]).toEqual([false, false])
  })

  test('[LINK5] one unreachable node is logged, until that node is gone or a link could be made', async () => {
    const told: unknown[] = []
    const clock = new FakeClock()
    const dead = new Set<NodeId>()
    const bus = newBus({
      clock,
      dial: () => Promise.reject(new Error('no route')),
      status: (node) => (dead.has(node) ? { state: 'dead', deadForMs: 1 } : { state: 'live' }),
      onError: (_error, context) => void told.push(context['to']),
    })
    await bus.subscribe(mintNodeId(), () => undefined)
    const [one, two] = [mintNodeId(), mintNodeId()]
    const sendAll = async (): Promise<void> => {
      for (const other of [one, two]) for (let i = 0; i < 20; i++) void bus.publish(other, numbered(i))
      await immediate()
      await clock.advance(120_000)
    }
    await sendAll()
    await sendAll()
    expect(told).toEqual([one])
    expect(bus.counts.failures).toBe(4)
    dead.add(one)
    await sendAll()
    expect(told).toEqual([one, two])
    const [near] = TestSocket.pair()
    bus.adopt({ socket: near, node: mintNodeId(), dialled: false, rest: Buffer.alloc(0) })
    await sendAll()
    expect(told).toEqual([one, two, two])
  })
})

function newBus(options: Partial<ConstructorParameters<typeof LinkedBus>[0]>): LinkedBus {
  return new LinkedBus({
    inbox: memoryCluster().backend({ onError: () => expect.unreachable() }).bus,
    dial: () => Promise.resolve(undefined),
    identify: () => undefined,
    status: () => ({ state: 'live' }),
    clock: new FakeClock(),
    most: 256,
    limits: defaultUnconfirmedLimits,
    onError: () => undefined,
    undelivered: () => undefined,
    onEvent: () => undefined,
    ...options,
  })
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** The clock of a process that is paused now and then: each timer that is due runs once, late. */
class LeapingClock implements Clock {
  #passed = 0
  #timers: { at: number; task: () => void }[] = []

  now(): number {
    return this.#passed
  }

  monotonic(): number {
    return this.#passed
  }

  after(ms: number, task: () => void): { cancel(): void } {
    const timer = { at: this.#passed + ms, task }
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  leap(ms: number): void {
    this.#passed += ms
    const due = this.#timers.filter(({ at }) => at <= this.#passed)
    this.#timers = this.#timers.filter(({ at }) => at > this.#passed)
    for (const { task } of due) task()
  }
}
