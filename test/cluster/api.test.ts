import { connect, type Peer } from '@peerage/client'
import { createApi, type Api } from '@peerage/client/api'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startNode, startNodes, type Node } from '@peerage/test-support/node.js'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

const KEY = 'key-of-the-default-app-000'
const WAIT = { timeout: 15_000, interval: 50 }

let redis: Deployment
let nodes: Node[]
const peers: Peer[] = []

const apiOf = (node: number): Api => createApi({ url: nodes[node]?.url ?? '', key: KEY })

async function peerOn(node: number, name: string): Promise<Peer> {
  const peer = await connect(nodes[node]?.url ?? '', { name, storage: null, p2p: false, onRetry: () => {} })
  peers.push(peer)
  return peer
}

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.leave()))
})

describe.each(topologies)('the API, %s', (topology) => {
  beforeAll(async () => {
    redis = await startTopology(topology)
    nodes = await startNodes(2, { redisUrl: redis.url, env: { PEERAGE_API_KEYS: KEY } })
  })

  afterAll(async () => {
    await Promise.all((nodes ?? []).map((node) => node.stop()))
    await redis?.stop()
  })

  test('[API20] a message to a peer of another node is delivered, once and with the mark', async () => {
    const bob = await peerOn(1, 'bob')
    const got: unknown[] = []
    bob.on('message', (_, data, about) => got.push([data, about.server]))
    for (let i = 0; i < 20; i++) expect(await apiOf(i % 2).sendToPeer('bob', i)).toBe('delivered')
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => [i, true]))
  })

  test('[API21] unavailable, timeout, away and incompatible, each for a peer of another node', async () => {
    await peerOn(1, 'mute')
    const gone = await peerOn(1, 'gone')
    const old = await PeerJsPeer.open({ url: nodes[1]?.url ?? '', id: 'old' })
    gone.close()
    await vi.waitFor(
      async () => expect(await apiOf(0).getPeer('gone')).toMatchObject({ state: 'away' }),
      WAIT,
    )
    const results = await apiOf(0).sendToPeers(['nobody', 'mute', 'gone', 'old'], 'x', { timeoutMs: 1_000 })
    old.socket.terminate()
    expect(results).toEqual([
      { name: 'nobody', result: 'unavailable' },
      { name: 'mute', result: 'timeout' },
      { name: 'gone', result: 'away' },
      { name: 'old', result: 'incompatible' },
    ])
  })

  test('[API14, API15] both nodes list and count the same peers', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `peer-${i}`)
    await Promise.all(names.map((name, i) => peerOn(i % 2, name)))
    for (const node of [0, 1])
      await vi.waitFor(async () => {
        const found: string[] = []
        for await (const { name } of apiOf(node).allPeers({ state: 'online' })) found.push(name)
        expect(found.filter((name) => name.startsWith('peer-')).toSorted()).toEqual(names.toSorted())
      }, WAIT)
    expect(await apiOf(0).listNodes()).toHaveLength(2)
  })

  test('[API23, API25] a broadcast and a room reach the peers of both nodes', async () => {
    const both = await Promise.all([peerOn(0, 'ada'), peerOn(1, 'eve')])
    const got: string[] = []
    for (const peer of both) {
      peer.on('message', (_, data) => got.push(`${peer.name} ${String(data)}`))
      const room = await peer.join('hall')
      room.on('message', (_, data) => got.push(`${peer.name} in the hall ${String(data)}`))
    }
    await apiOf(0).sendToRoom('hall', 'hi')
    await vi.waitFor(async () => {
      const listed = (await apiOf(0).listPeers({ state: 'online' })).peers.map(({ name }) => name)
      expect(listed).toEqual(expect.arrayContaining(['ada', 'eve']))
    }, WAIT)
    await apiOf(0).broadcast('all')
    await vi.waitFor(() => {
      expect(got.toSorted()).toEqual(['ada all', 'ada in the hall hi', 'eve all', 'eve in the hall hi'])
    }, WAIT)
    expect((await apiOf(1).listMembers('hall')).members.map(({ name }) => name)).toEqual(['ada', 'eve'])
  })

  test('[API30] a ban by one node closes the peer at another, and keeps it out everywhere', async () => {
    const mallory = await peerOn(1, 'mallory')
    const closed = new Promise((resolve) =>
      mallory.on('state', (state) => state.state === 'closed' && resolve(state)),
    )
    await apiOf(0).disconnectPeer('mallory', { reason: 'enough', banMs: 60_000 })
    expect(await closed).toMatchObject({ reason: 'disconnected', detail: 'enough' })
    for (const node of [0, 1]) await expect(peerOn(node, 'mallory')).rejects.toMatchObject({ code: 'banned' })
    await apiOf(1).liftBan('name', 'mallory')
    await peerOn(0, 'mallory')
  })

  test('[API36] a server that registers at one node is found at the other', async () => {
    const registration = await apiOf(0).registerServer({ id: 'web-1', address: 'https://web-1.example' })
    expect((await apiOf(1).listServers()).servers).toMatchObject([{ id: 'web-1', status: 'up' }])
    await registration.stop()
    expect((await apiOf(1).listServers()).servers).toEqual([])
  })

  test('[API11] the answer of a node that has died is given by another', async () => {
    const node = await startNode({ redisUrl: redis.url, env: { PEERAGE_API_KEYS: KEY } })
    const bob = await peerOn(0, 'bob')
    const got: unknown[] = []
    bob.on('message', (_, data) => got.push(data))
    const options = { idempotencyKey: `key-${topology}` }
    expect(await createApi({ url: node.url, key: KEY }).sendToPeer('bob', 'once', options)).toBe('delivered')
    await node.kill()
    expect(await apiOf(1).sendToPeer('bob', 'once', options)).toBe('delivered')
    expect(got).toEqual(['once'])
  })
})

describe('the API during an outage', () => {
  test('[API26] a send goes on when Redis is back, and without it says what is wrong', async () => {
    const deployment = await startTopology('standalone')
    const node = await startNode({ redisUrl: deployment.url, env: { PEERAGE_API_KEYS: KEY } })
    try {
      const api = createApi({ url: node.url, key: KEY })
      const bob = await connect(node.url, { name: 'bob', storage: null, p2p: false, onRetry: () => {} })
      peers.push(bob)
      const got: unknown[] = []
      bob.on('message', (_, data) => got.push(data))
      expect(await api.sendToPeer('bob', 'before')).toBe('delivered')
      await deployment.kill()
      await vi.waitFor(async () => {
        const answer = await fetch(`${node.url}/v1/servers`, { headers: { Authorization: `Bearer ${KEY}` } })
        expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'store-unavailable' }])
      }, WAIT)
      // The typed client tries again until then.
      const sending = api.sendToPeer('bob', 'after')
      await deployment.restart()
      expect(await sending).toBe('delivered')
      expect(got).toEqual(['before', 'after'])
    } finally {
      await node.stop()
      await deployment.stop()
    }
  })
})
