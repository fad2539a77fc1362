import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { connect, type Peer } from '@peerage/client'
import { createApi, type Api } from '@peerage/client/api'
import { makeCertificates, type Certificates } from '@peerage/test-support/certificates.js'
import { startHaproxy } from '@peerage/test-support/haproxy.js'
import { startNginx } from '@peerage/test-support/nginx.js'
import { startNode, startNodes, type Node } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

// Application servers reach the API over TLS and through the shipped balancers.

const KEY = 'key-of-the-default-app-000'
const SECRET_NAME = 'name-that-no-log-may-have'

let redis: RedisServer
let nodes: Node[]
let certificates: Certificates
const ends: (() => Promise<unknown> | void)[] = []

beforeAll(async () => {
  redis = await startRedis()
  certificates = await makeCertificates()
  nodes = await startNodes(2, {
    redisUrl: redis.url,
    args: ['--trusted-proxies', '127.0.0.1', '--log-level', 'debug'],
    env: { PEERAGE_API_KEYS: KEY },
  })
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
  await certificates?.remove()
})

/** A `fetch` that trusts only the authority of this test, as NODE_EXTRA_CA_CERTS would make Node's. */
async function trustingFetch(): Promise<typeof fetch> {
  const ca = await readFile(certificates.ca, 'utf8')
  return async (input, { method = 'GET', headers, body } = {}) => {
    const sent = request(input instanceof Request ? input.url : input, {
      method,
      ca,
      headers: Object.fromEntries(new Headers(headers)),
    })
    const answered = new Promise<Response>((resolve, reject) => {
      sent.on('error', reject)
      sent.on('response', (answer) => {
        const fields = Object.entries(answer.headers).map(([name, value]): [string, string] => [
          name,
          String(value),
        ])
        const { statusCode: status = 0 } = answer
        buffer(answer).then(
          (bytes) =>
            resolve(new Response(status === 204 ? null : new Uint8Array(bytes), { status, headers: fields })),
          reject,
        )
      })
    })
    sent.end(body)
    return answered
  }
}

/** Peers connect to the nodes themselves: only the API goes through what is tested. */
async function peerOn(node: number, name: string): Promise<Peer> {
  const peer = await connect(nodes[node]?.url ?? '', { name, storage: null, p2p: false, onRetry: () => {} })
  ends.push(() => peer.leave())
  return peer
}

/** Uses each kind of operation: reads, writes, pages, a large body, and a message to each node. */
async function expectApiWorks(api: Api): Promise<void> {
  const got: unknown[] = []
  for (const node of [0, 1]) {
    const peer = await peerOn(node, `${SECRET_NAME}-${node}`)
    peer.on('message', (_, data) => got.push(data))
  }
  const large = 'x'.repeat(150_000)
  for (const node of [0, 1]) expect(await api.sendToPeer(`${SECRET_NAME}-${node}`, large)).toBe('delivered')
  expect(got).toEqual([large, large])
  await vi.waitFor(async () => expect(await api.countPeers()).toBe(2), { timeout: 10_000 })
  const found: string[] = []
  for await (const { name } of api.allPeers()) found.push(name)
  expect(found.toSorted()).toEqual([`${SECRET_NAME}-0`, `${SECRET_NAME}-1`])
  const registration = await api.registerServer({ id: 'web-1', address: 'https://web-1.example' })
  expect((await api.listServers()).servers).toMatchObject([{ id: 'web-1' }])
  await registration.stop()
  expect(await api.disconnectPeer(`${SECRET_NAME}-0`, { banMs: 60_000 })).toMatchObject({ closed: 1 })
  await api.liftBan('name', `${SECRET_NAME}-0`)
  expect(await api.getPeer(`${SECRET_NAME}-nobody`)).toBeUndefined()
}

function expectSilent(...outputs: string[]): void {
  for (const output of outputs)
    for (const secret of [KEY, SECRET_NAME, 'wrong-key-that-no-log']) expect(output).not.toContain(secret)
}

const nodeOutputs = (): string[] => nodes.map((node) => node.output())

describe('the API through the shipped HAProxy configuration', () => {
  test('over TLS: every operation works, and no log has the key or a path', async () => {
    const shipped = await readFile(new URL('../../deploy/haproxy.cfg', import.meta.url), 'utf8')
    const haproxy = await startHaproxy({
      backends: nodes,
      env: { PEERAGE_TLS_PEM: certificates.pem },
      config: shipped.replace('daemon notice', 'daemon info'),
    })
    ends.push(() => haproxy.stop())
    const url = haproxy.url.replace('http:', 'https:')
    const trusting = await trustingFetch()
    await expectApiWorks(createApi({ url, key: KEY, fetch: trusting }))
    await expect(
      createApi({ url, key: 'wrong-key-that-no-log-has', fetch: trusting }).listNodes(),
    ).rejects.toMatchObject({ status: 401 })
    await vi.waitFor(() => expect(haproxy.output()).toMatch(/ DELETE 204 /u))
    expectSilent(haproxy.output(), ...nodeOutputs())
  })

  test('an answer that takes longer than the time-out of other requests still comes', async () => {
    const shipped = await readFile(new URL('../../deploy/haproxy.cfg', import.meta.url), 'utf8')
    const config = shipped.replace(/^ +timeout (server|client) \d+s/gm, 'timeout $1 1s')
    const haproxy = await startHaproxy({ backends: nodes, config })
    ends.push(() => haproxy.stop())
    // This peer acknowledges nothing, because nothing listens for its messages.
    await peerOn(0, 'mute')
    const api = createApi({ url: haproxy.url, key: KEY })
    expect(await api.sendToPeer('mute', 1, { timeoutMs: 3_000 })).toBe('timeout')
  })
})

describe('the API through the shipped nginx configuration', () => {
  test('every operation works, and no log has the key or a path', async () => {
    const nginx = await startNginx(nodes)
    ends.push(() => nginx.stop())
    await expectApiWorks(createApi({ url: nginx.url, key: KEY }))
    expectSilent(nginx.output(), ...nodeOutputs())
  })

  test('its error log has no path of the API', async () => {
    const nginx = await startNginx([1, 2].map((port) => ({ host: '127.0.0.1', port })))
    ends.push(() => nginx.stop())
    const headers = { Authorization: `Bearer ${KEY}` }
    await fetch(`${nginx.url}/healthz`)
    for (const base of ['', '/tier'])
      expect((await fetch(`${nginx.url}${base}/v1/peers/${SECRET_NAME}`, { headers })).status).toBe(502)
    await vi.waitFor(() => expect(nginx.output()).toContain('/healthz'))
    expectSilent(nginx.output())
  })

  test('a body that is too long gets the answer of a node', async () => {
    const nginx = await startNginx(nodes)
    ends.push(() => nginx.stop())
    const answer = await fetch(`${nginx.url}/v1/broadcast`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ data: 'x'.repeat(300_000) }),
    })
    expect([answer.status, await answer.json()]).toMatchObject([413, { code: 'too-large' }])
  })
})

test('[API1] on a port of its own the API speaks the TLS of the node, and no log has the key or a path', async () => {
  const port = await freePort()
  const node = await startNode({
    redisUrl: redis.url,
    args: ['--api-port', String(port), '--tls-cert', certificates.cert, '--tls-key', certificates.key],
    env: { PEERAGE_API_KEYS: KEY, PEERAGE_LOG_LEVEL: 'debug' },
  })
  ends.push(() => node.stop())
  const trusting = await trustingFetch()
  const api = createApi({ url: `https://127.0.0.1:${port}`, key: KEY, fetch: trusting })
  await expectApiWorks(api)
  // Without TLS there is no answer, and on the main port there is no API.
  await expect(fetch(`http://127.0.0.1:${port}/v1/nodes`)).rejects.toThrow('fetch failed')
  const onMain = await trusting(`${node.url}/v1/nodes`, { headers: { Authorization: `Bearer ${KEY}` } })
  expect(onMain.status).toBe(404)
  expectSilent(node.output(), ...nodeOutputs())
})
