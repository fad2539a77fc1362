import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect, type Peer, type PeerState } from '@peerage/client'
import { createApi, type Api } from '@peerage/client/api'
import { makeCertificates, type Certificates } from '@peerage/test-support/certificates.js'
import { REPOSITORY, startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, type Deployment } from '@peerage/test-support/redis-topologies.js'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

// Tokens, bans and the API on a Redis with TLS that gives nodes only what deploy/redis-users.acl gives them.

const KEY = 'key-of-the-default-app-000'
const PASSWORD = 'of-the-test-7f3a'
const SECRET = 'a secret of at least thirty-two bytes'
const WAIT = { timeout: 15_000, interval: 50 }

/** The users of the shipped file, and one for the test itself and for replicas. */
async function users(): Promise<string[]> {
  const shipped = await readFile(`${REPOSITORY}deploy/redis-users.acl`, 'utf8')
  const hash = createHash('sha256').update(PASSWORD).digest('hex')
  const lines = shipped.replace('@PEERAGE_PASSWORD_SHA256@', hash).trim().split('\n')
  return [...lines.map((line) => line.replace(/^user /, '')), 'looker on >look ~* &* +@all']
}

describe.each(['standalone', 'cluster'] as const)('with TLS and the shipped ACL, %s', (topology) => {
  let certificates: Certificates
  let redis: Deployment
  let nodes: Node[]
  const peers: Peer[] = []

  const apiOf = (node: number): Api => createApi({ url: nodes[node]?.url ?? '', key: KEY })

  async function enter(node: number, name: string, token: string): Promise<Peer> {
    const options = { name, token, storage: null, p2p: false, onRetry: () => {} } as const
    const peer = await connect(nodes[node]?.url ?? '', options)
    peers.push(peer)
    return peer
  }

  const minted = async (sub: string): Promise<string> => (await apiOf(0).mintToken({ sub })).token

  beforeAll(async () => {
    certificates = await makeCertificates()
    redis = await startTopology(topology, {
      redis: {
        tls: certificates,
        acl: await users(),
        login: { username: 'looker', password: 'look' },
        config: { masteruser: 'looker', masterauth: 'look' },
      },
    })
    nodes = await startNodes(2, {
      redisUrl: redis.url,
      args: ['--redis-ca', certificates.ca],
      env: {
        PEERAGE_REDIS_USERNAME: 'peerage',
        PEERAGE_REDIS_PASSWORD: PASSWORD,
        PEERAGE_API_KEYS: KEY,
        PEERAGE_ACCESS_MODE: 'token',
        PEERAGE_ACCESS_TOKEN_ALGORITHMS: 'HS256',
        PEERAGE_ACCESS_TOKEN_SECRET: SECRET,
      },
    })
  })

  afterEach(async () => {
    await Promise.all(peers.splice(0).map((peer) => peer.leave()))
    // Redis notes each command, key and channel that it has refused.
    for (const log of await redis.everywhere('ACL', 'LOG')) expect(log).toBe('')
  })

  afterAll(async () => {
    await Promise.all((nodes ?? []).map((node) => node.stop()))
    await redis?.stop()
    await certificates?.remove()
  })

  test('[API33, API34] a token lets its peer in at each node under its own name, until it is revoked', async () => {
    const { token, jti } = await apiOf(0).mintToken({ sub: 'ada' })
    await expect(enter(1, 'bob', token)).rejects.toMatchObject({ code: 'forbidden' })
    const ada = await enter(1, 'ada', token)
    const states: PeerState[] = []
    ada.on('state', (state) => states.push(state))
    await apiOf(0).revokeTokens({ jti })
    await vi.waitFor(() => expect(states).toMatchObject([{ state: 'closed', reason: 'token-expired' }]), WAIT)
    for (const node of [0, 1])
      await expect(enter(node, 'ada', token)).rejects.toMatchObject({ code: 'bad-token' })
    // The name waits for its holder, as at the end of a token, until the application server frees it.
    await apiOf(1).disconnectPeer('ada')
    await enter(0, 'ada', await minted('ada'))
  })

  test('[API14, API15, API20] peers are listed, counted and sent to at each node, each once', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `peer-${i}`)
    const got: string[] = []
    for (const [i, name] of names.entries()) {
      const peer = await enter(i % 2, name, await minted(name))
      peer.on('message', (_, data, { server }) => got.push(`${peer.name} ${String(data)} ${server}`))
    }
    for (const node of [0, 1]) {
      await vi.waitFor(async () => expect(await apiOf(node).countPeers()).toBe(names.length), WAIT)
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await apiOf(node).listPeers({ limit: 5, cursor })
        expect(page.peers.length).toBeLessThanOrEqual(5)
        found.push(...page.peers.map(({ name }) => name))
        cursor = page.next
      } while (cursor !== undefined)
      expect(found.toSorted()).toEqual(names.toSorted())
      const results = await apiOf(node).sendToPeers(names, `of ${node}`)
      expect(new Set(results.map(({ result }) => result))).toEqual(new Set(['delivered']))
    }
    const expected = names.flatMap((name) => [`${name} of 0 true`, `${name} of 1 true`])
    expect(got.toSorted()).toEqual(expected.toSorted())
  })

  test('[API11] a message with a key is sent once, whichever node is asked again', async () => {
    const bob = await enter(1, 'bob', await minted('bob'))
    const got: unknown[] = []
    bob.on('message', (_, data) => got.push(data))
    for (const node of [0, 1, 0])
      expect(await apiOf(node).sendToPeer('bob', 'once', { idempotencyKey: 'a-key' })).toBe('delivered')
    expect(got).toEqual(['once'])
  })

  test('[API30, API31] a disconnect closes once, and a ban of a name or an identity holds at each node', async () => {
    for (const [kind, ban] of [
      ['name', (api: Api) => api.disconnectPeer('eve', { reason: 'enough', banMs: 60_000 })],
      ['identity', (api: Api) => api.disconnectIdentity('eve', { reason: 'enough', banMs: 60_000 })],
    ] as const) {
      const eve = await enter(1, 'eve', await minted('eve'))
      const closed: PeerState[] = []
      eve.on('state', (state) => closed.push(state))
      await ban(apiOf(0))
      await vi.waitFor(
        () => expect(closed).toMatchObject([{ state: 'closed', reason: 'disconnected', detail: 'enough' }]),
        WAIT,
      )
      const token = await minted('eve')
      for (const node of [0, 1])
        await expect(enter(node, 'eve', token)).rejects.toMatchObject({ code: 'banned' })
      expect((await apiOf(1).listBans()).bans).toMatchObject(
        expect.arrayContaining([expect.objectContaining({ kind, value: 'eve' })]),
      )
      await apiOf(1).liftBan(kind, 'eve')
      await (await enter(0, 'eve', token)).leave()
    }
  })

  test('[API25, API36] rooms and application servers are the same at each node', async () => {
    const ada = await enter(1, 'ada-2', await minted('ada-2'))
    const room = await ada.join('hall')
    const heard = new Promise((resolve) => room.on('message', (_, data) => resolve(data)))
    await apiOf(0).sendToRoom('hall', 'hi')
    expect(await heard).toBe('hi')
    expect((await apiOf(0).listMembers('hall')).members).toMatchObject([{ name: 'ada-2' }])
    const registration = await apiOf(0).registerServer({ id: 'web-1', address: 'https://web-1.example' })
    expect((await apiOf(1).listServers()).servers).toMatchObject([{ id: 'web-1', status: 'up' }])
    await registration.stop()
    expect((await apiOf(1).listServers()).servers).toEqual([])
    expect(await apiOf(1).listNodes()).toHaveLength(2)
  })
})
