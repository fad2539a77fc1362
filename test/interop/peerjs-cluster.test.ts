import { closeCodes } from '@peerage/protocol'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium } from '@peerage/test-support/chromium.js'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startNode, startNodes, type Node } from '@peerage/test-support/node.js'
import { PeerJsPeer, candidate, offer } from '@peerage/test-support/peerjs.js'
import { eventually } from '@peerage/test-support/process.js'
import {
  startTopology,
  topologies,
  type Deployment,
  type Topology,
} from '@peerage/test-support/redis-topologies.js'
import { connectTo, openPeer, receivedBy, saidBy, servePages } from './peerjs-pages.js'

// The PeerJS wire with two nodes and one Redis, behind HAProxy.

let redis: Deployment
let nodes: Node[]
let haproxy: Haproxy
const peers: PeerJsPeer[] = []
let serial = 0

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()))
})

/** Starts two nodes on a Redis of this topology, behind HAProxy, for the tests of a `describe`. */
function useNodes(topology: Topology): void {
  // Redis gets the time of PeerJS's queue as an argument, so one topology is enough for another time.
  const wait = topology === 'standalone' ? [] : ['--peerjs-expire-ms', '2000']
  const args = ['--peerjs-allow-discovery', ...wait]
  beforeAll(async () => {
    redis = await startTopology(topology)
    nodes = await startNodes(2, { redisUrl: redis.url, args })
    haproxy = await startHaproxy({ backends: nodes })
    await haproxy.until(0, 'UP')
    await haproxy.until(1, 'UP')
  })
  afterAll(async () => {
    await haproxy?.stop()
    await Promise.all((nodes ?? []).map((node) => node.stop()))
    await redis?.stop()
  })
}

const nodeAt = (index: number): Node => {
  const node = nodes[index]
  if (node === undefined) throw new Error(`no node ${index}`)
  return node
}
const fresh = (name: string): string => `${name}-${serial++}`

async function join(id: string, where: { url: string }, token?: string): Promise<PeerJsPeer> {
  const peer = await PeerJsPeer.open({ url: where.url, id, ...(token === undefined ? {} : { token }) })
  peers.push(peer)
  return peer
}

/** Reconnects until the peer is back, like an application that calls `reconnect()` on `disconnected`. */
async function reconnect(
  id: string,
  token: string,
  url: string,
  deadlineMs: number,
): Promise<{ peer: PeerJsPeer; taken: number }> {
  const deadline = Date.now() + deadlineMs
  let taken = 0
  for (;;) {
    const peer = new PeerJsPeer({ url, id, token })
    await peer.until('an answer', () => peer.frames.length > 0 || peer.end !== undefined)
    if (peer.frames.some((frame) => frame.includes('ID-TAKEN'))) taken++
    if (peer.frames[0] === '{"type":"OPEN"}') return { peer, taken }
    if (Date.now() > deadline) throw new Error(`${id} is not back: ${JSON.stringify(peer.frames)}`)
    await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 100))
  }
}

/** Resolves when the peer's socket has ended or the node has answered a ping on it. */
function endedOrAnswers({ socket, end }: PeerJsPeer): Promise<void> {
  if (end !== undefined) return Promise.resolve()
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
    socket.once('pong', () => resolve())
    socket.ping()
  })
}

describe.each(topologies)('across nodes, %s', (topology) => {
  useNodes(topology)
  const [absentIds, sameId] = topology === 'standalone' ? [5_000, 5_000] : [500, 1_000]

  test('[PJ6] messages reach the other node in order and byte for byte, from the first one', async () => {
    const [a, b] = [await join(fresh('a'), nodeAt(0)), await join(fresh('b'), nodeAt(1))]
    for (let n = 0; n < 200; n++) a.send(candidate(b.id, n))
    await b.next('CANDIDATE', 199)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      Array.from({ length: 200 }, (_, n) => ({ n })),
    )
    expect(b.frames[1]).toBe(
      `{"type":"CANDIDATE","src":"${a.id}","dst":"${b.id}","payload":{"candidate":{"candidate":"candidate:0"},"n":0}}`,
    )
  })

  test('[PJ7] messages that wait for an absent peer reach it on whichever node it connects to', async () => {
    const a = await join(fresh('a'), nodeAt(0))
    const absent = fresh('absent')
    for (let n = 0; n < 30; n++) a.send(candidate(absent, n))
    // The node handles this offer after the candidates, because they are on the same socket.
    a.send(offer(a.id))
    await a.next('OFFER')
    const b = await join(absent, nodeAt(1))
    for (let n = 30; n < 60; n++) a.send(candidate(absent, n))
    await b.next('CANDIDATE', 59)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      Array.from({ length: 60 }, (_, n) => ({ n })),
    )
  })

  test('[PJ9] if the recipient stays absent, the sender is told on its own node', async () => {
    const [a, b] = [await join(fresh('a'), nodeAt(0)), await join(fresh('b'), nodeAt(1))]
    const absent = fresh('absent')
    a.send(offer(absent))
    b.send(offer(absent))
    const [one, other] = await Promise.all([a.next('EXPIRE'), b.next('EXPIRE')])
    expect(one.text).toBe(`{"type":"EXPIRE","src":"${absent}","dst":"${a.id}"}`)
    expect(other.text).toBe(`{"type":"EXPIRE","src":"${absent}","dst":"${b.id}"}`)
  })

  test('[PJ4] the same token takes over the id from the other node, and the old socket is closed [I8]', async () => {
    const id = fresh('mover')
    const old = await join(id, nodeAt(0), 'secret')
    const b = await join(fresh('b'), nodeAt(0))
    b.send(offer(id, 1))
    await old.next('OFFER')
    const back = await join(id, nodeAt(1), 'secret')
    expect(await old.ended()).toMatchObject({ code: 4500 })
    b.send(offer(id, 2))
    await back.next('OFFER')
  })

  test('[PJ5] another token does not take over the id on either node, but at once when the holder has left', async () => {
    const id = fresh('held')
    const holder = await join(id, nodeAt(0))
    for (const index of [0, 1]) {
      const other = new PeerJsPeer({ url: nodeAt(index).url, id })
      await other.ended()
      expect(other.frames).toEqual(['{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'])
    }
    await holder.close(1001)
    await join(id, nodeAt(1))
  })

  test('[PJ10] a fixed id that comes back with a new token through HAProxy 100 times never gets ID-TAKEN', async () => {
    const id = fresh('fixed')
    for (let round = 0; round < 100; round++) {
      const page = await PeerJsPeer.open({ url: haproxy.url, id, token: `t${round}` })
      expect(page.frames[0]).toBe('{"type":"OPEN"}')
      // A browser does not wait for the answer to its close frame.
      page.socket.close(1001)
    }
  })

  test('[PJ12] /peers lists the peers of all nodes', async () => {
    const [a, b] = [await join(fresh('a'), nodeAt(0)), await join(fresh('b ä'), nodeAt(1))]
    for (const node of nodes) {
      const listed: unknown = await (await fetch(`${node.url}/peerjs/peers`)).json()
      expect(listed).toEqual(expect.arrayContaining([a.id, b.id]))
    }
  })

  test(`[PJ16] ${absentIds + sameId} messages for absent ids: queues are bounded, each id expires, and no queue is left`, async () => {
    const limited = await startNode({
      redisUrl: redis.url,
      args: [
        '--peerjs-expire-ms',
        '2000',
        '--limits-connection-messages-per-second',
        '0',
        '--limits-name-messages-per-second',
        '0',
      ],
    })
    const a = await join(fresh('a'), limited)
    const run = fresh('absent')
    for (let n = 0; n < absentIds; n++) a.send(candidate(`${run}-${n}`, n))
    for (let n = 0; n < sameId; n++) a.send(candidate(run, n))
    await a.until(
      'every EXPIRE',
      () =>
        a.frames.length > absentIds + 1 && new Set(a.received.map(({ src }) => src)).size === absentIds + 1,
      30_000,
    )
    expect(
      await limited.log((record) => record['what'] === 'mailbox-full' || record['what'] === 'too-many'),
    ).toBeDefined()
    // If a busy Redis queues a message too late, its key expires after three times the queue's time.
    await eventually(
      'no queue is left',
      async () => {
        const left = await redis.keys(`*${run}*`)
        if (left.length > 0) throw new Error(left.join('\n'))
        return true
      },
      { deadlineMs: 20_000 },
    )
    await limited.stop()
  })

  test('[PJ16] of a flood of connects with one id one gets it, all others get ID-TAKEN, and the node serves other peers', async () => {
    const id = fresh('wanted')
    const answered = async (n: number): Promise<PeerJsPeer> => {
      const peer = new PeerJsPeer({ url: nodeAt(n % 2).url, id, token: `t${n}` })
      await peer.until('an answer', () => peer.frames.length > 0 || peer.end !== undefined, 30_000)
      // Redis took too long on a busy machine, so the node closed the peer, and the peer tries again.
      return peer.end?.code === closeCodes['registry-unavailable'] ? answered(n) : peer
    }
    const crowd = await Promise.all(Array.from({ length: 300 }, (_, n) => answered(n)))
    const bystander = await join(fresh('bystander'), nodeAt(0))
    bystander.send(offer(bystander.id))
    await bystander.next('OFFER')
    expect(crowd.filter((peer) => peer.frames[0] === '{"type":"OPEN"}')).toHaveLength(1)
    expect(crowd.filter((peer) => peer.frames[0]?.includes('ID-TAKEN'))).toHaveLength(299)
    await Promise.all(crowd.map((peer) => peer.cut()))
  })

  test('[PJ4] after SIGKILL of a node each of its peers is back on the other with its id and without ID-TAKEN, and data connections stay open [I6]', async () => {
    const pair = await startNodes(2, { redisUrl: redis.url })
    const balancer = await startHaproxy({ backends: pair })
    await balancer.until(0, 'UP')
    await balancer.until(1, 'UP')
    const chromium = await launchChromium()
    const pages = await servePages()
    const [doomed, survivor] = pair
    if (!doomed || !survivor) throw new Error('unreachable: there are two')
    const [one, other] = [await chromium.page(pages.url), await chromium.page(pages.url)]
    const run = fresh('run')
    const at = { host: balancer.host, port: balancer.port }
    await balancer.disable(1)
    await openPeer(one, { ...at, id: `${run}-one` })
    await balancer.enable(1)
    await balancer.until(1, 'UP')
    await balancer.disable(0)
    await openPeer(other, { ...at, id: `${run}-other` })
    await balancer.enable(0)
    await balancer.until(0, 'UP')
    await connectTo(one, `${run}-other`, 'channel', 'json')
    await one.evaluate(() => {
      globalThis.peer.on('disconnected', () => setTimeout(() => globalThis.peer.reconnect(), 100))
    })

    const crowd = await Promise.all(
      Array.from({ length: 200 }, (_, n) => join(`${run}-${n}`, balancer, `token-${n}`)),
    )
    await doomed.kill()
    await Promise.all(crowd.map(endedOrAnswers))
    expect(crowd.filter((peer) => peer.end !== undefined).length).toBeGreaterThanOrEqual(90)
    const back = await Promise.all(
      crowd.map(async (peer, n) =>
        peer.end === undefined ? { peer, taken: 0 } : reconnect(peer.id, `token-${n}`, balancer.url, 20_000),
      ),
    )
    peers.push(...back.map(({ peer }) => peer))
    expect(back.reduce((sum, { taken }) => sum + taken, 0)).toBe(0)

    const [first] = back
    for (const { peer } of back) first?.peer.send(offer(peer.id, 'after'))
    await Promise.all(back.map(({ peer }) => peer.next('OFFER')))
    // The page reconnects by itself with its id, and its data connection stays open.
    await one.waitForFunction(() => globalThis.peer.open && !globalThis.peer.disconnected)
    await one.evaluate(async () => {
      await globalThis.connections.get('channel')?.send('still open')
    })
    expect(await receivedBy(other, 'channel', 1)).toEqual(['"still open"'])
    expect(
      [...(await saidBy(one)), ...(await saidBy(other))].filter(
        (line) => line.includes('unavailable-id') || line.startsWith('closed'),
      ),
    ).toEqual([])
    await connectTo(other, `${run}-one`, 'again', 'json')
    await chromium.stop()
    await pages.stop()
    await Promise.all(back.map(({ peer }) => peer.close()))
    await balancer.stop()
    await Promise.all(pair.map((node) => node.stop()))
  }, 120_000)
})
