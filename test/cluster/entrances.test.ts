import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect as connectTo } from '@peerage/client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startHaproxy } from '@peerage/test-support/haproxy.js'
import { startNode, type Node } from '@peerage/test-support/node.js'

// A node admits the same peers at every entrance: the native wire, PeerJS's socket and PeerJS's HTTP. The tests use real
// HTTP. A node decides this alone, so there is no Redis here.

const PAGE = 'https://app.example'
const KEY = 'a-shared-key-of-the-test'
const NATIVE = '/peerage/?EIO=4&transport=websocket'
let serial = 0
const peerjs = (): string => `/peerjs?key=peerjs&id=entrant-${++serial}&token=t&version=1.5.5`

const sockets: WebSocket[] = []
const nodes: Node[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate()
})
afterAll(async () => {
  for (const node of nodes) await node.stop()
})

async function node(...args: string[]): Promise<Node> {
  const started = await startNode({ args: ['--peerjs-allow-discovery', ...args] })
  nodes.push(started)
  return started
}

type Headers = Readonly<Record<string, string | string[]>>

/** Returns 101, or the status of the refusal. The socket stays open until the test ends. */
async function upgrade(url: string, path: string, headers: Headers): Promise<number> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers })
  sockets.push(socket)
  socket.on('error', () => {}) // refused, or terminated while opening: the status tells which
  return new Promise((resolve) => {
    socket.once('open', () => resolve(101))
    socket.once('unexpected-response', (_, response: IncomingMessage) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    socket.once('close', () => resolve(0))
  })
}

async function get(
  url: string,
  path: string,
  headers: Headers,
): Promise<{ status: number; allowed: unknown }> {
  const asked = request(`${url}${path}`, { headers, agent: false })
  asked.end()
  const [response]: IncomingMessage[] = await once(asked, 'response')
  response?.resume()
  return { status: response?.statusCode ?? 0, allowed: response?.headers['access-control-allow-origin'] }
}

/** Origins that an attacker's page, or a program that imitates a page, may send. */
const FOREIGN: readonly (readonly [string, string])[] = [
  ['another site', 'https://evil.example'],
  ['null, as sandboxed frames and data: URLs send it', 'null'],
  ['an empty origin', ''],
  ['our host as a suffix', 'https://evil-app.example'],
  ['our host as a prefix', 'https://app.example.evil.example'],
  ['our host as a user name', 'https://app.example@evil.example'],
  ['a subdomain of our host', 'https://sub.app.example'],
  ['the host in upper case', 'https://APP.example'],
  ['the scheme in upper case', 'HTTPS://app.example'],
  ['another scheme', 'http://app.example'],
  ['another port', 'https://app.example:8443'],
  ['our origin with its default port', 'https://app.example:443'],
  ['our origin with a final slash', 'https://app.example/'],
  ['our origin with a final dot', 'https://app.example.'],
  ['two origins with a space', 'https://app.example https://evil.example'],
  ['two origins with a comma', 'https://app.example, https://evil.example'],
]

describe('[ASVS 4.4.2] Origin', () => {
  let url: string
  beforeAll(async () => {
    url = (await node('--origins', PAGE, '--access-key', KEY)).url
  })

  test.each(FOREIGN)('%s is refused everywhere', async (_, origin) => {
    const headers = { origin }
    expect(await upgrade(url, NATIVE, headers)).toBe(403)
    expect(await upgrade(url, peerjs(), headers)).toBe(403)
    expect(await upgrade(url, `${peerjs()}&key=${KEY}`, headers)).toBe(403)
    expect(await get(url, '/peerjs/id', headers)).toEqual({ status: 403, allowed: undefined })
    expect(await get(url, '/peerjs/peers', headers)).toEqual({ status: 403, allowed: undefined })
    expect(await get(url, `/${KEY}/peers`, headers)).toEqual({ status: 403, allowed: undefined })
  })

  test('the allowed page is admitted everywhere', async () => {
    const headers = { origin: PAGE }
    expect(await upgrade(url, NATIVE, headers)).toBe(101)
    expect(await upgrade(url, peerjs(), headers)).toBe(101)
    expect(await get(url, '/peerjs/id', headers)).toEqual({ status: 200, allowed: PAGE })
    expect(await get(url, `/${KEY}/peers`, headers)).toEqual({ status: 200, allowed: PAGE })
  })

  test('a second Origin header does not help', async () => {
    const status = await get(url, '/peerjs/id', { origin: ['https://evil.example', PAGE] })
    expect(status.status).toBe(403)
  })

  test('without an Origin the token decides', async () => {
    await expect(connectTo(url, { p2p: false })).rejects.toMatchObject({ code: 'forbidden' })
    const peer = await connectTo(url, { p2p: false, token: KEY })
    peer.close()
    expect((await get(url, '/peerjs/peers', {})).status).toBe(401)
    expect((await get(url, `/${KEY}/peers`, {})).status).toBe(200)
  })
})

describe('X-Forwarded-For', () => {
  const MANY = 4
  /** The statuses of MANY attempts, each with another forged address. */
  const attempts = async (act: (forged: string) => Promise<number>): Promise<number[]> => {
    const statuses: number[] = []
    for (let i = 1; i <= MANY; i++) statuses.push(await act(`198.51.100.${i}`))
    return statuses
  }
  const limits = ['--limits-address-connections', '2', '--limits-address-lookups-per-second', '1']

  test('forged addresses before the balancer’s own entry do not evade the limits', async () => {
    const { url } = await node('--trusted-proxies', '127.0.0.1', ...limits)
    // Many balancers append, so the peer's own entries come first. Each wire gets its own address, as wires share a count.
    const from = (address: string) => (forged: string) => ({ 'x-forwarded-for': `${forged}, ${address}` })
    const [native, other, http] = [from('203.0.113.1'), from('203.0.113.2'), from('203.0.113.3')]
    expect(await attempts((forged) => upgrade(url, NATIVE, native(forged)))).toEqual([101, 101, 503, 503])
    expect(await attempts((forged) => upgrade(url, peerjs(), other(forged)))).toEqual([101, 101, 503, 503])
    // How many requests pass before the rate limit applies depends on the speed of this machine.
    const listed: number[] = []
    for (let i = 1; i < 100 && !listed.includes(429); i++)
      listed.push((await get(url, '/peerjs/peers', http(`198.51.100.${i}`))).status)
    expect(new Set(listed)).toEqual(new Set([200, 429]))
    expect(await upgrade(url, NATIVE, from('203.0.113.9')('198.51.100.1'))).toBe(101)
  })

  test('several headers, invalid addresses and a chain of 900 do not evade the limits', async () => {
    const { url } = await node('--trusted-proxies', '127.0.0.1', ...limits)
    const real = '203.0.113.5'
    const forgeries: (string | string[])[] = [
      [`198.51.100.1, ${real}`],
      ['198.51.100.2', real],
      `${'198.51.100.3, '.repeat(900)}${real}`,
      `127.0.0.1, localhost, ::ffff:127.0.0.1, ${real}`,
      `for=198.51.100.4, ${real}:4711`,
    ]
    const statuses: number[] = []
    for (const forged of forgeries) statuses.push(await upgrade(url, NATIVE, { 'x-forwarded-for': forged }))
    expect(statuses).toEqual([101, 101, 503, 503, 503])
  })

  test('without trusted proxies X-Forwarded-For is ignored', async () => {
    const { url } = await node(...limits)
    // All requests then count as this machine, which has no limit. The forged address would reach a limit.
    const headers = { 'x-forwarded-for': '203.0.113.6' }
    const statuses = await attempts(() => upgrade(url, NATIVE, headers))
    statuses.push(...(await attempts(() => upgrade(url, peerjs(), headers))))
    statuses.push(...(await attempts(async () => (await get(url, '/peerjs/peers', headers)).status)))
    expect(statuses).toEqual([...Array<number>(2 * MANY).fill(101), ...Array<number>(MANY).fill(200)])
  })

  test('a peer that a proxy reports as 127.0.0.1 is limited; a direct connection from this machine is not', async () => {
    const { url } = await node('--trusted-proxies', '127.0.0.1', ...limits)
    const headers = { 'x-forwarded-for': '127.0.0.1' }
    expect(await attempts(() => upgrade(url, NATIVE, headers))).toEqual([101, 101, 503, 503])
    expect(await upgrade(url, peerjs(), { 'x-forwarded-for': '::ffff:127.0.0.1' })).toBe(503)
    expect(await attempts(() => upgrade(url, NATIVE, {}))).toEqual([101, 101, 101, 101])
  })

  test('HAProxy with our configuration replaces the header that a peer sent', async () => {
    const behind = await node('--trusted-proxies', '127.0.0.1', ...limits)
    const haproxy = await startHaproxy({ backends: [behind] })
    try {
      // Each attempt forges another address, but the node counts only the address that HAProxy reports.
      expect(await attempts((forged) => upgrade(haproxy.url, NATIVE, { 'x-forwarded-for': forged }))).toEqual(
        [101, 101, 503, 503],
      )
    } finally {
      await haproxy.stop()
    }
  })
})
