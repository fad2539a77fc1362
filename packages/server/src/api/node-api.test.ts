import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect, type Peer } from '@peerage/client'
import { createApi, type Api } from '@peerage/client/api'
import { memoryCluster, systemClock, defaultTimes } from '@peerage/core'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { WirePeer } from '@peerage/test-support/wire-peer.js'
import { pino } from 'pino'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createPeerage, type Peerage, type PeerageOptions } from '../peerage.js'

const KEY = 'key-of-the-default-app-000'
const CHAT_KEY = 'key-of-the-app-chat-000000'
const SECRET = 'a secret of at least thirty-two bytes'

/** An app whose peers need a token. */
const TOKEN_APP: PeerageOptions = {
  apps: {
    chat: {
      api: { keys: [CHAT_KEY] },
      access: { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } },
    },
  },
  defaultApp: 'chat',
}

const closers: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function peerage(options: PeerageOptions = {}): Peerage {
  const node = createPeerage({
    logger: pino({ level: 'silent' }),
    port: 0,
    open: true,
    page: false,
    ...options,
  })
  closers.push(() => node.stop())
  return node
}

async function listening(
  options: PeerageOptions = {},
): Promise<{ node: Peerage; url: string; api: string | null }> {
  const node = peerage(options)
  const { url, api } = await node.listen()
  await node.ready()
  return { node, url, api }
}

async function peerOn(url: string, name: string, more: { app?: string; token?: string } = {}): Promise<Peer> {
  const peer = await connect(url, {
    name,
    storage: null,
    p2p: false,
    leaveOnExit: false,
    onRetry: () => {},
    ...more,
  })
  closers.push(() => peer.close())
  return peer
}

const apiOf = (url: string, key = KEY): Api => createApi({ url, key, timeoutMs: 2_000 })

const statusOf = async (url: string, key = KEY): Promise<number> =>
  (await fetch(`${url}/v1/nodes`, { headers: { Authorization: `Bearer ${key}` } })).status

/** Sends a message without the typed client, which would try again. */
async function sent(url: string, to: string, timeoutMs = 10_000): Promise<[number, unknown]> {
  const answer = await fetch(`${url}/v1/peers/${to}/messages`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ data: 1, timeoutMs }),
  })
  return [answer.status, await answer.json()]
}

describe('where it is', () => {
  test('[API1] on the main port, below the path of the node, if an app has a key', async () => {
    const { url } = await listening({ api: { keys: [KEY] }, path: '/tier' })
    expect(url).toMatch(/\/tier\/?$/)
    expect(await statusOf(url.replace(/\/$/, ''))).toBe(200)
    expect((await fetch(new URL('/v1/nodes', url))).status).toBe(404)
    const document: unknown = await (await fetch(`${url.replace(/\/$/, '')}/v1/openapi.json`)).json()
    expect(document).toMatchObject({ servers: [{ url: '/tier/v1' }] })
  })

  test('[API1] nowhere without a key', async () => {
    const { url } = await listening()
    expect(await statusOf(url)).toBe(404)
    expect((await fetch(`${url}/v1/openapi.json`)).status).toBe(404)
  })

  test('[API1] on a server of an application, whose other paths stay its own', async () => {
    const server = createServer((_, response) => response.end('application'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => {
      server.closeAllConnections()
      server.close()
    })
    const node = peerage({ api: { keys: [KEY] } }).attach(server)
    await node.ready()
    const { port } = server.address() as AddressInfo
    expect(await statusOf(`http://127.0.0.1:${port}`)).toBe(200)
    expect(await (await fetch(`http://127.0.0.1:${port}/v2`)).text()).toBe('application')
  })

  test('[API1] with api.port on a port of its own only', async () => {
    const { url, api } = await listening({ api: { keys: [KEY], port: 0 } })
    expect(api).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect([await statusOf(url), await statusOf(api ?? '')]).toEqual([404, 200])
    expect((await fetch(`${api}/healthz`)).status).toBe(401)
  })

  test('[API2] a reload adds and removes keys, and each key has its app', async () => {
    const { node, url } = await listening({ api: { keys: [KEY] } })
    await peerOn(url, 'alice')
    await vi.waitFor(async () => expect(await apiOf(url).countPeers()).toBe(1))
    node.reload({ open: true, api: { keys: [] }, apps: { default: {}, chat: { api: { keys: [CHAT_KEY] } } } })
    expect([await statusOf(url), await statusOf(url, CHAT_KEY)]).toEqual([401, 200])
    expect(await apiOf(url, CHAT_KEY).countPeers()).toBe(0)
    node.reload({ open: true, api: { keys: [] }, apps: {} })
    expect(await statusOf(url, CHAT_KEY)).toBe(404)
  })

  test('[API18] an app that gets the API by a reload has the names that were there before in its lists', async () => {
    const { node, url } = await listening()
    await peerOn(url, 'alice')
    node.reload({ open: true, api: { keys: [KEY] } })
    await vi.waitFor(async () =>
      expect((await apiOf(url).listPeers()).peers).toMatchObject([{ name: 'alice' }]),
    )
  })
})

describe('bans', () => {
  test('[API30] nobody gets a banned name until the ban is lifted', async () => {
    const { url } = await listening({ api: { keys: [KEY] } })
    const api = apiOf(url)
    await peerOn(url, 'eve')
    expect(await api.disconnectPeer('eve', { banMs: 60_000 })).toMatchObject({ closed: 1 })
    await expect(peerOn(url, 'eve')).rejects.toMatchObject({ code: 'banned' })
    await api.liftBan('name', 'eve')
    await peerOn(url, 'eve')
  })

  test('[API33, API34] a minted token lets its peer in, until it is revoked', async () => {
    const { url } = await listening(TOKEN_APP)
    const api = apiOf(url, CHAT_KEY)
    const { token, jti } = await api.mintToken({ sub: 'ada', peerage: { rooms: { names: ['hall'] } } })
    const ada = await peerOn(url, 'ada', { token })
    await ada.join('hall')
    await expect(ada.join('other')).rejects.toMatchObject({ code: 'forbidden' })
    const closed = new Promise((resolve) =>
      ada.on('state', ({ state }) => state === 'closed' && resolve(state)),
    )
    expect(await api.revokeTokens({ jti })).toMatchObject({ closed: 1 })
    await closed
    await expect(peerOn(url, 'ada', { token })).rejects.toMatchObject({ code: 'bad-token' })
    expect(await api.listBans()).toMatchObject({ bans: [{ kind: 'token', value: jti }] })
  })

  test('[API32] a revocation of the tokens of a user leaves a ban of the user as it is', async () => {
    const { url } = await listening(TOKEN_APP)
    const api = apiOf(url, CHAT_KEY)
    await api.disconnectIdentity('ada', { banMs: 60_000 })
    await api.revokeTokens({ sub: 'ada', before: Date.now() - 3_600_000 })
    const { token } = await api.mintToken({ sub: 'ada' })
    await expect(peerOn(url, 'ada', { token })).rejects.toMatchObject({ code: 'banned' })
    await api.liftBan('identity', 'ada')
    await peerOn(url, 'ada', { token })
  })
})

describe('messages', () => {
  test('[API21] a peer of PeerJS or matchbox cannot read messages of application servers', async () => {
    const { url } = await listening({ api: { keys: [KEY] }, matchbox: { enabled: true } })
    const peer = await PeerJsPeer.open({ url, id: 'old' })
    closers.push(() => peer.socket.terminate())
    const game = new WirePeer(`${url.replace('http', 'ws')}/matchbox/room`)
    closers.push(() => game.socket.terminate())
    const id = /[0-9a-f-]{36}/.exec(await game.frame(1))?.[0] ?? ''
    await expect(apiOf(url).sendToPeer(id, 'x')).rejects.toMatchObject({
      code: 'incompatible',
      message: expect.stringContaining('such as PeerJS or matchbox'),
    })
    await expect(apiOf(url).sendToPeer('old', 'x')).rejects.toMatchObject({
      code: 'incompatible',
      status: 409,
    })
    expect(await apiOf(url).sendToPeers(['old'], 'x')).toEqual([{ name: 'old', result: 'incompatible' }])
  })

  test('[API26] the relay and the access rules of the app do not bind its application server', async () => {
    const { url } = await listening({
      api: { keys: [KEY] },
      relay: { enabled: false },
      access: { key: 'a-shared-key-of-24-letters' },
    })
    const alice = await peerOn(url, 'alice', { token: 'a-shared-key-of-24-letters' })
    const got: unknown[] = []
    alice.on('message', (_, data) => got.push(data))
    expect(await apiOf(url).sendToPeer('alice', 'x'.repeat(150_000))).toBe('delivered')
    expect(got).toHaveLength(1)
  })

  test('[API26] the name of the application server is free when the node has stopped', async () => {
    const cluster = memoryCluster({ clock: systemClock, times: defaultTimes })
    const [one, two] = [
      await listening({ api: { keys: [KEY] }, backend: cluster.backend() }),
      await listening({ api: { keys: [KEY] }, backend: cluster.backend() }),
    ]
    const alice = await peerOn(two.url, 'alice')
    const from = new Promise<string>((resolve) => alice.on('message', resolve))
    expect(await apiOf(one.url).sendToPeer('alice', 1)).toBe('delivered')
    expect(await alice.lookup([await from])).toMatchObject([{ state: 'online' }])
    await one.node.stop()
    expect(await alice.lookup([await from])).toMatchObject([{ state: 'offline' }])
  })

  test('[WR14] a message to the name of an application server is refused, from the same node and from another', async () => {
    const cluster = memoryCluster({ clock: systemClock, times: defaultTimes })
    const [one, two] = [
      await listening({ api: { keys: [KEY] }, backend: cluster.backend() }),
      await listening({ api: { keys: [KEY] }, backend: cluster.backend() }),
    ]
    const peers = [await peerOn(one.url, 'alice'), await peerOn(two.url, 'bob')]
    for (const peer of peers) {
      const from = new Promise<string>((resolve) => peer.on('message', resolve))
      expect(await apiOf(one.url).sendToPeer(peer.name, 1)).toBe('delivered')
      await expect(peer.send(await from, 'an answer')).rejects.toMatchObject({ code: 'forbidden' })
      // The refusal harms nobody: the application server sends on under the same name.
      const again = new Promise<string>((resolve) => peer.on('message', resolve))
      expect(await apiOf(one.url).sendToPeer(peer.name, 2)).toBe('delivered')
      expect(await again).toBe(await from)
    }
  })

  test('[API27] a node that drains sends to nobody, and says so', async () => {
    const { node, url } = await listening({ api: { keys: [KEY] } })
    const peers = await Promise.all(Array.from({ length: 5 }, (_, i) => peerOn(url, `p${i}`)))
    expect(peers).toHaveLength(5)
    const draining = node.drain()
    expect(await sent(url, 'p0')).toMatchObject([503, { code: 'draining' }])
    await draining
  })

  test('[API28] more than 200 messages of an app that wait are refused, and those of another app are not', async () => {
    const { url } = await listening({
      apps: { default: { api: { keys: [KEY] } }, chat: { api: { keys: [CHAT_KEY] } } },
    })
    const mute = Array.from({ length: 10 }, (_, i) => `mute-${i}`)
    await Promise.all([...mute.map((name) => peerOn(url, name)), peerOn(url, 'mute', { app: 'chat' })])
    // The other names are free, so their places are free at once.
    const names = [...mute, ...Array.from({ length: 90 }, (_, i) => `free-${i}`)]
    const waiting = [0, 1].map(() => apiOf(url).sendToPeers(names, 1, { timeoutMs: 4_000 }))
    for (let i = 0; i < 18; i++) waiting.push(apiOf(url).sendToPeers(mute, 1, { timeoutMs: 4_000 }))
    await vi.waitFor(async () => {
      const [status, json] = await sent(url, 'nobody')
      expect([status, json]).toMatchObject([429, { code: 'rate-limited' }])
    })
    expect(await apiOf(url, CHAT_KEY).sendToPeer('nobody', 1)).toBe('unavailable')
    await apiOf(url).sendToRoom('hall', 1)
    for (const results of await Promise.all(waiting))
      expect(['timeout', 'unavailable']).toEqual(
        expect.arrayContaining([...new Set(results.map(({ result }) => result))]),
      )
    expect(await sent(url, 'nobody')).toEqual([200, { result: 'unavailable' }])
  })

  test('[API28] one recipient that acknowledges nothing does not take all places', async () => {
    const { url } = await listening({ api: { keys: [KEY] } })
    await peerOn(url, 'mute')
    const waiting = Array.from({ length: 20 }, () => apiOf(url).sendToPeer('mute', 1, { timeoutMs: 3_000 }))
    await vi.waitFor(async () => {
      expect(await sent(url, 'mute', 50)).toMatchObject([429, { code: 'rate-limited' }])
    })
    expect(await apiOf(url).sendToPeers(['mute', 'nobody'], 1)).toEqual([
      { name: 'mute', result: 'rate-limited' },
      { name: 'nobody', result: 'unavailable' },
    ])
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['timeout']))
  })

  test('[API28] a caller that hangs up gives its places back', async () => {
    const { url } = await listening({ api: { keys: [KEY] } })
    await peerOn(url, 'mute')
    const end = new AbortController()
    const body = JSON.stringify({ data: 1, timeoutMs: 30_000 })
    const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' }
    const calls = Array.from({ length: 20 }, () =>
      fetch(`${url}/v1/peers/mute/messages`, { method: 'POST', headers, body, signal: end.signal }),
    )
    const ended = Promise.allSettled(calls)
    await vi.waitFor(async () => {
      expect(await sent(url, 'mute', 50)).toMatchObject([429, {}])
    })
    end.abort()
    await ended
    await vi.waitFor(async () => {
      expect(await apiOf(url).sendToPeer('mute', 1, { timeoutMs: 100 })).toBe('timeout')
    })
  })
})
