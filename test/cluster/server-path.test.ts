import { connect, type Channel, type Peer } from '@peerage/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { check, isClean } from '../chaos/checker.js'
import { History } from '../chaos/history.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

// Messages through the server: within the relay policy, and until a channel between the two peers takes over.

let redis: Deployment

/** Starts a cluster with its own prefix, which separates it from other clusters on the same Redis. */
async function clusterWith(...args: string[]): Promise<[Node, Node]> {
  const nodes = await startNodes(2, {
    redisUrl: redis.url,
    args: ['--redis-prefix', `pg${++clusters}:`, '--admin-port', '0', ...args],
  })
  onTestFinished(() => Promise.all(nodes.map((node) => node.stop())).then(() => undefined))
  const [one, other] = nodes
  if (one === undefined || other === undefined) throw new Error('two nodes were started')
  return [one, other]
}
let clusters = 0

async function peersOn([one, other]: [Node, Node]): Promise<[Peer, Peer]> {
  const join = async (node: Node, name: string): Promise<Peer> => {
    const peer = await connect(node.url, { name, storage: null })
    onTestFinished(() => peer.leave())
    return peer
  }
  return [await join(one, 'alice'), await join(other, 'bob')]
}

async function channelTo(peer: Peer, other: string): Promise<Channel> {
  if (peer.p2p === null) throw new Error(`${peer.name} has no P2P controller`)
  return peer.p2p.connect(other)
}

// One topology is enough, because the sender's node applies the policy before it asks Redis.
describe('the relay policy', () => {
  beforeAll(async () => {
    redis = await startTopology('standalone')
  })
  afterAll(() => redis.stop())

  test('[WR5] relay off: messages are refused as relay-refused, and handshakes and channels work', async () => {
    const [alice, bob] = await peersOn(await clusterWith('--relay-enabled', 'false'))
    const heard: unknown[] = []
    bob.on('message', (_, data) => heard.push(data))
    await expect(alice.send('bob', 'by the server')).rejects.toMatchObject({ code: 'relay-refused' })
    await channelTo(alice, 'bob')
    await alice.send('bob', 'by the channel')
    await expect(alice.send('bob', 'by the server', { via: 'server' })).rejects.toMatchObject({
      code: 'relay-refused',
    })
    expect(heard).toEqual(['by the channel'])
  })

  test('[WR5] bytes per message: a message over the limit is refused, one at the limit is delivered', async () => {
    const [alice, bob] = await peersOn(await clusterWith('--relay-message-bytes', '1000'))
    const heard: unknown[] = []
    bob.on('message', (_, data) => heard.push(data))
    // One character of the body marks it as text.
    const [most, over] = ['x'.repeat(999), 'x'.repeat(1_000)]
    await expect(alice.send('bob', over)).rejects.toMatchObject({ code: 'relay-refused' })
    await alice.send('bob', most)
    await channelTo(alice, 'bob')
    await alice.send('bob', over)
    expect(heard).toEqual([most, over])
  })

  test('[WR5] bytes per second: messages over the rate wait and arrive once and in order, or fail as rate-limited at their deadline', async () => {
    const PER_SECOND = 4_000
    const [alice, bob] = await peersOn(await clusterWith('--relay-bytes-per-second', String(PER_SECOND)))
    const heard: unknown[] = []
    bob.on('message', (_, data) => heard.push(data))
    const texts = Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(999, '.'))
    const startedAt = performance.now()
    await Promise.all(texts.map((text) => alice.send('bob', text)))
    const seconds = (performance.now() - startedAt) / 1_000
    expect(heard).toEqual(texts)
    // Two seconds' worth may go at once, then the rate applies, so 20,000 bytes take at least three seconds.
    expect(seconds).toBeGreaterThan((20_000 - 2 * PER_SECOND) / PER_SECOND - 0.1)

    // The allowance is used up, so these cannot all go within a second.
    const hurried = texts.map((text) =>
      alice.send('bob', text, { deadlineMs: 1_000 }).then(() => 'delivered'),
    )
    const ends = await Promise.allSettled(hurried)
    const codes = ends.map((end) => (end.status === 'fulfilled' ? end.value : end.reason.code))
    expect(codes).toContain('rate-limited')
    // A message that passed may have waited at the receiver for one that did not, and so timed out.
    const known = ['delivered', 'rate-limited', 'timeout']
    expect(codes.filter((code) => !known.includes(code))).toEqual([])
  })
})

describe.each(topologies)('from the server to a channel and back, %s', (topology) => {
  beforeAll(async () => {
    redis = await startTopology(topology)
  })
  afterAll(() => redis.stop())

  test('[WD4] [WD15] no message of a steady flow both ways is lost, doubled or reordered', async () => {
    const nodes = await clusterWith()
    const [alice, bob] = await peersOn(nodes)
    const history = new History()
    record(history, alice)
    record(history, bob)
    const done = new AbortController()
    const flowing = Promise.all([
      flow(history, alice, bob, done.signal),
      flow(history, bob, alice, done.signal),
    ])

    // A channel takes over, one side closes it, and another channel takes over.
    await bothReceive(alice, bob)
    await channelTo(alice, 'bob')
    await bothReceive(alice, bob)
    await bob.p2p?.channel('alice')?.close()
    await bothReceive(alice, bob)
    await channelTo(bob, 'alice')
    await bothReceive(alice, bob)
    done.abort()
    await flowing

    const verdict = check(history.events, { overlapMs: 0, endMs: history.now(), deadlineMs: 0 })
    expect(verdict).toMatchObject({ lost: [], doubled: [], received: verdict.sent })
    expect(isClean(verdict)).toBe(true)
    // Both paths were used: the nodes carried some messages, and not all.
    const carried = await Promise.all(nodes.map(messagesCarried))
    const total = carried.reduce((sum, one) => sum + one, 0)
    expect(total).toBeGreaterThan(2 * STRETCH)
    expect(total).toBeLessThan(verdict.sent)
  })
})

/** Messages in each direction between two changes of the path: several times as many as are in flight at once. */
const STRETCH = 150

/** Records the messages that the application of `peer` receives. */
function record(history: History, peer: Peer): void {
  peer.on('message', (_, data) =>
    history.add({ type: 'received', id: String(data), to: peer.name, since: peer.since }),
  )
}

/** Resolves when each peer's application has received `STRETCH` more messages. */
async function bothReceive(...peers: Peer[]): Promise<void> {
  const receive = (peer: Peer): Promise<void> => {
    let left = STRETCH
    return new Promise((resolve) => {
      const off = peer.on('message', () => {
        if (--left > 0) return
        off()
        resolve()
      })
    })
  }
  await Promise.all(peers.map(receive))
}

/** Sends messages until the signal, always several in flight. */
async function flow(history: History, from: Peer, to: Peer, until: AbortSignal): Promise<void> {
  const IN_FLIGHT = 16
  let next = 0
  const sender = async (): Promise<void> => {
    while (!until.aborted) {
      const order = next++
      const id = `${from.name} ${order}`
      history.add({ type: 'send', id, from: from.name, to: to.name, order })
      await from.send(to.name, id)
      history.add({ type: 'settled', id, outcome: 'delivered' })
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender))
}

async function messagesCarried(node: Node): Promise<number> {
  const text = await (await fetch(`${node.admin}/metrics`)).text()
  const lines = text.matchAll(/^peerage_messages_total\{[^}]*type="message"[^}]*\} (\d+)$/gm)
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0)
}
