import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Peer } from '@peerage/client'
import { connect } from '@peerage/client'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { makeCertificates, type Certificates } from '@peerage/test-support/certificates.js'
import { startHaproxy } from '@peerage/test-support/haproxy.js'
import { startNginx } from '@peerage/test-support/nginx.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'

let redis: RedisServer
let nodes: Node[]
let certificates: Certificates
let ca: string
const ends: (() => Promise<unknown> | void)[] = []

beforeAll(async () => {
  redis = await startRedis()
  certificates = await makeCertificates()
  ca = await readFile(certificates.ca, 'utf8')
  nodes = await startNodes(2, { redisUrl: redis.url, args: ['--trusted-proxies', '127.0.0.1'] })
})
afterEach(async () => {
  vi.unstubAllGlobals()
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(async () => {
  for (const node of nodes) await node.stop()
  await redis.stop()
  await certificates.remove()
})

async function join(url: string, name: string): Promise<{ peer: Peer; next: Promise<unknown> }> {
  const peer = await connect(url, { p2p: false, name })
  ends.push(() => peer.close())
  return { peer, next: new Promise((resolve) => peer.on('message', (from, data) => resolve([from, data]))) }
}

/** Connects two peers of each wire. The balancer puts them on different nodes in turn. */
async function expectPairsConnect(url: string, trust?: string): Promise<void> {
  // New names for each call, because a name that was just left may not be free yet.
  const round = randomUUID()
  const [a, b] = [await join(url, `native-a-${round}`), await join(url, `native-b-${round}`)]
  await a.peer.send(b.peer.name, { hello: 1 })
  expect(await b.next).toEqual([a.peer.name, { hello: 1 }])
  const open = async (id: string): Promise<PeerJsPeer> => {
    const peer = await PeerJsPeer.open({ url, id, ...(trust === undefined ? {} : { ca: trust }) })
    ends.push(() => peer.close())
    return peer
  }
  const [c, d] = [await open(`peerjs-c-${round}`), await open(`peerjs-d-${round}`)]
  c.send(offer(d.id))
  expect((await d.next('OFFER')).src).toBe(c.id)
  d.send({ type: 'ANSWER', payload: {}, dst: c.id })
  expect((await c.next('ANSWER')).src).toBe(d.id)
}

describe('native and PeerJS peers reach each other', () => {
  test('through the shipped HAProxy configuration', async () => {
    const haproxy = await startHaproxy({ backends: nodes })
    ends.push(() => haproxy.stop())
    await expectPairsConnect(haproxy.url)
    expect((await haproxy.states()).map(({ sessions }) => sessions)).toEqual([2, 2])
  })

  test('through the shipped nginx configuration', async () => {
    const nginx = await startNginx(nodes)
    ends.push(() => nginx.stop())
    await expectPairsConnect(nginx.url)
    expect(await (await fetch(`${nginx.url}/peerjs/id`)).text()).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('through nginx with a path prefix that it passes on', async () => {
    const prefixed = await startNodes(2, {
      redisUrl: redis.url,
      args: ['--path', '/prefix', '--redis-prefix', 'prefix:'],
    })
    ends.push(...prefixed.map((node) => () => node.stop()))
    const nginx = await startNginx(prefixed)
    ends.push(() => nginx.stop())
    await expectPairsConnect(`${nginx.url}/prefix`)
    expect(await (await fetch(`${nginx.url}/prefix/peerjs/id`)).text()).toMatch(/^[0-9a-f-]{36}$/)
    const asked = await fetch(`${nginx.url}/prefix/`)
    expect(await asked.json()).toMatchObject({ name: 'Peerage' })
    expect((await fetch(`${nginx.url}/prefix/readyz`)).status).toBe(200)
    expect((await fetch(`${nginx.url}/peerjs/id`)).status).toBe(404)
    expect(prefixed.map(({ url }) => new URL(url).pathname)).toEqual(['/prefix/', '/prefix/'])
  })

  test('over TLS that ends at HAProxy: https and wss', async () => {
    const haproxy = await startHaproxy({ backends: nodes, env: { PEERAGE_TLS_PEM: certificates.pem } })
    ends.push(() => haproxy.stop())
    const url = haproxy.url.replace('http:', 'https:')
    // The SDK uses the global WebSocket, so we set one that trusts the test's authority, as a browser's certificate store
    // would.
    class Trusting extends WebSocket {
      constructor(address: string) {
        super(address, { ca })
      }
    }
    vi.stubGlobal('WebSocket', Trusting)
    await expectPairsConnect(url, ca)
    expect(await new PeerJsPeer({ url, id: 'trusts-nobody' }).ended()).toMatchObject({ code: 1006 })
  })
})

test('nginx uses the other node when one has died', async () => {
  const [only] = nodes
  if (only === undefined) throw new Error('no nodes')
  const dead = { host: '127.0.0.1', port: 1 }
  const nginx = await startNginx([dead, only, dead])
  ends.push(() => nginx.stop())
  for (let i = 0; i < 6; i++) expect((await fetch(`${nginx.url}/healthz`)).status).toBe(200)
  const peer = await PeerJsPeer.open({ url: nginx.url, id: 'after-death' })
  await peer.close()
})

/** Asks for the URLs in which PeerJS clients, and those of a fixed URL, carry their tokens, through a balancer whose nodes are all dead. */
async function carryTokens(url: string, token: string): Promise<void> {
  const query = `key=peerjs&id=a&token=${token}`
  await fetch(`${url}/peerjs?${query}`)
  await fetch(`${url}/${token}/id`)
  await fetch(`${url}/${token}/peers?ts=1`)
  const paths = [
    '/y-webrtc',
    '/tier/y-webrtc/chat/x',
    '/announce/files',
    '/trystero/games',
    '/matchbox/table',
  ]
  for (const path of ['/peerjs', ...paths]) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}?${query}`)
    await new Promise((resolve) => socket.once('error', resolve))
  }
}

const DEAD = [1, 2, 3].map((port) => ({ host: '127.0.0.1', port }))
const TOKEN = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.secret-signature'

test('the log of the shipped nginx configuration has no access token, though it has errors', async () => {
  const nginx = await startNginx(DEAD)
  ends.push(() => nginx.stop())
  await fetch(`${nginx.url}/healthz`)
  await carryTokens(nginx.url, TOKEN)
  await vi.waitFor(() => expect(nginx.output()).toContain('/healthz'))
  expect(nginx.output()).not.toContain(TOKEN)
})

test('the log of the shipped HAProxy configuration has no access token, also if every request is logged', async () => {
  const shipped = await readFile(new URL('../../deploy/haproxy.cfg', import.meta.url), 'utf8')
  const config = shipped.replace('daemon notice', 'daemon info')
  expect(config).not.toBe(shipped)
  const haproxy = await startHaproxy({ backends: DEAD, config })
  ends.push(() => haproxy.stop())
  await carryTokens(haproxy.url, TOKEN)
  await vi.waitFor(() => expect(haproxy.output().match(/ GET 503 /gu)?.length).toBeGreaterThanOrEqual(4))
  expect(haproxy.output()).not.toContain(TOKEN)
})
