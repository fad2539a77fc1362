import { createHash, randomBytes } from 'node:crypto'
import type { Peer } from '@peerage/client'
import { connect } from '@peerage/client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

const CHUNK_BYTES = 16 * 1024

let redis: Deployment
let nodes: Node[]
let haproxy: Haproxy
const peers: Peer[] = []

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.leave()))
})

/** Connects to the node with this index, or to any node through the balancer. */
async function peerOn(node: number | 'balancer', name?: string): Promise<Peer> {
  const url = node === 'balancer' ? haproxy.url : (nodes[node]?.url ?? '')
  const peer = await connect(url, { name, storage: null })
  peers.push(peer)
  return peer
}

function p2pOf(peer: Peer): NonNullable<Peer['p2p']> {
  if (peer.p2p === null) throw new Error(`${peer.name} has no P2P controller`)
  return peer.p2p
}

function nodeOf(peer: Peer): string {
  if (peer.state.state !== 'online') throw new Error(`${peer.name} is ${peer.state.state}`)
  return peer.state.node
}

describe.each(topologies)('channels across nodes, %s', (topology) => {
  // The Redis topology matters when channels open, not for how much they carry, so the others get less data.
  const [fileBytes, rounds] = topology === 'standalone' ? [50 * 1024 * 1024, 100] : [1024 * 1024, 20]

  beforeAll(async () => {
    redis = await startTopology(topology)
    nodes = await startNodes(3, { redisUrl: redis.url })
    haproxy = await startHaproxy({ backends: nodes })
    await Promise.all(nodes.map((_, index) => haproxy.until(index, 'UP')))
  })

  afterAll(async () => {
    await haproxy?.stop()
    await Promise.all((nodes ?? []).map((node) => node.stop()))
    await redis?.stop()
  })

  test(`two Node peers on different nodes open a channel, and ${fileBytes / 2 ** 20} MB arrive with the same SHA-256`, async () => {
    const [alice, bob] = [await peerOn(0, 'alice'), await peerOn(1, 'bob')]
    expect(nodeOf(alice)).not.toBe(nodeOf(bob))
    const file = randomBytes(fileBytes)
    const received = createHash('sha256')
    let bytes = 0
    const arrived = new Promise<void>((resolve) => {
      p2pOf(bob).on('channel-opened', (channel) => {
        channel.on('message', (data) => {
          if (typeof data === 'string') throw new Error('got text instead of bytes')
          received.update(data)
          bytes += data.byteLength
          if (bytes === fileBytes) resolve()
        })
      })
    })
    const channel = await p2pOf(alice).connect('bob')
    for (let at = 0; at < fileBytes; at += CHUNK_BYTES)
      await channel.send(new Uint8Array(file.subarray(at, at + CHUNK_BYTES)))
    await arrived
    expect(received.digest('hex')).toBe(createHash('sha256').update(file).digest('hex'))
    expect(await channel.info()).toMatchObject({ path: 'direct', peer: 'bob' })
  })

  test('through the balancer peers land on different nodes, and find each other wherever they are', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, (_, i) => peerOn('balancer', `peer-${i}`)))
    expect(new Set(all.map(nodeOf)).size).toBe(3)
    const [first, ...rest] = all
    if (!first) throw new Error('no peer connected')
    for (const other of rest) {
      const heard = new Promise((resolve) => other.once('message', (from, data) => resolve({ from, data })))
      await first.send(other.name, { hello: other.name }, { via: 'server' })
      expect(await heard).toEqual({ from: 'peer-0', data: { hello: other.name } })
    }
  })

  test('a peer that watches a name is told when it comes online, and can call it', async () => {
    const alice = await peerOn(0, 'alice')
    expect(await alice.watch('late')).toMatchObject({ state: 'offline' })
    const came = new Promise((resolve) => alice.on('presence', resolve))
    const late = await peerOn(2, 'late')
    expect(await came).toMatchObject({ name: 'late', state: 'online', since: late.since })
    const channel = await p2pOf(alice).connect('late')
    expect(channel.state).toBe('open')
  })

  test('[I14] a call to an unknown name fails within a second and says at which stage', async () => {
    const alice = await peerOn(0, 'alice')
    // The fastest of three, because a busy machine may pause once.
    const tookMs: number[] = []
    for (let i = 0; i < 3; i++) {
      const started = performance.now()
      await expect(p2pOf(alice).connect('nobody')).rejects.toMatchObject({ stage: 'not-found' })
      tookMs.push(performance.now() - started)
    }
    expect(Math.min(...tookMs)).toBeLessThan(1_000)
    await expect(alice.send('nobody', 'hello')).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('[I6] a call to a peer that has just left fails at once', async () => {
    const [alice, bob] = [await peerOn(0, 'alice'), await peerOn(1, 'bob')]
    bob.on('message', () => {})
    await alice.send('bob', 'hello', { via: 'server' })
    await bob.leave()
    await expect(p2pOf(alice).connect('bob')).rejects.toMatchObject({ stage: 'not-found' })
    await expect(alice.send('bob', 'hello')).rejects.toMatchObject({ code: 'unavailable' })
  })

  test(`two peers that call each other at the same time get one channel, ${rounds} times out of ${rounds}`, async () => {
    for (let i = 0; i < rounds; i++) {
      const [alice, bob] = await Promise.all([peerOn(i % 3, `alice-${i}`), peerOn((i + 1) % 3, `bob-${i}`)])
      const opened: string[] = []
      for (const peer of [alice, bob])
        p2pOf(peer).on('channel-opened', (channel) => opened.push(channel.peer))
      const [toBob, toAlice] = await Promise.all([
        p2pOf(alice).connect(bob.name),
        p2pOf(bob).connect(alice.name),
      ])
      // Both are ends of the same channel.
      const heard = new Promise((resolve) => toAlice.on('message', resolve))
      await toBob.send(`round ${i}`)
      expect(await heard).toBe(`round ${i}`)
      expect(opened.toSorted()).toEqual([alice.name, bob.name])
      expect([p2pOf(alice).channels.length, p2pOf(bob).channels.length]).toEqual([1, 1])
      await Promise.all(peers.splice(0).map((peer) => peer.leave()))
    }
  }, 180_000)
})
