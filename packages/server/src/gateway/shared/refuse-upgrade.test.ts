import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { createPeerage, type Peerage, type PeerageOptions } from '../../peerage.js'

// Node hands over the socket of an upgrade without listeners. Code that answers it must listen for `error`. Once, a
// refused upgrade followed by a reset ended the process, and the embedding application with it.

const NATIVE = '/peerage/?EIO=4&transport=websocket'
const PEERJS = '/peerjs?key=peerjs&id=a&token=t&version=1'
const FOREIGN = 'Origin: https://evil.example\r\n'
const PROXIED = 'X-Forwarded-For: 203.0.113.7\r\n'

interface Case {
  what: string
  path: string
  headers?: string
  options?: PeerageOptions
  /** How many upgrades are accepted before the one that is refused. */
  before?: number
  status: number
  counted: string
}

const origins: PeerageOptions = { origins: ['https://app.example'] }
const full: PeerageOptions = { limits: { node: { connections: 1 } } }
const one: PeerageOptions = { trustedProxies: ['127.0.0.1'], limits: { address: { connections: 1 } } }

const CASES: Case[] = [
  { what: 'an unknown path', path: '/nowhere', status: 404, counted: 'gateway="none",reason="path"' },
  {
    what: 'polling',
    path: '/peerage/?EIO=4&transport=polling',
    status: 400,
    counted: 'gateway="native",reason="malformed"',
  },
  {
    what: 'a foreign origin, native',
    path: NATIVE,
    headers: FOREIGN,
    options: origins,
    status: 403,
    counted: 'gateway="native",reason="origin"',
  },
  {
    what: 'a foreign origin, PeerJS',
    path: PEERJS,
    headers: FOREIGN,
    options: origins,
    status: 403,
    counted: 'gateway="peerjs",reason="origin"',
  },
  {
    what: 'a full node, native',
    path: NATIVE,
    options: full,
    before: 1,
    status: 503,
    counted: 'gateway="native",reason="overloaded"',
  },
  {
    what: 'a full node, PeerJS',
    path: PEERJS,
    options: full,
    before: 1,
    status: 503,
    counted: 'gateway="peerjs",reason="overloaded"',
  },
  {
    what: 'too many of one address, through a proxy',
    path: NATIVE,
    headers: PROXIED,
    options: one,
    before: 1,
    status: 503,
    counted: 'gateway="native",reason="too-many"',
  },
]

const closers: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function application(options: PeerageOptions = {}): Promise<{ server: Server; node: Peerage }> {
  const server = createServer((_, response) => response.end('the application'))
  const node = createPeerage({ logger: pino({ level: 'silent' }), ...options }).attach(server)
  closers.push(() => node.stop())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => void server.close())
  return { server, node }
}

/** Asks for an upgrade. Returns both ends of the connection, and the answer. */
async function upgrade(
  server: Server,
  { path, headers = '' }: Pick<Case, 'path' | 'headers'>,
): Promise<{ client: Socket; socket: Duplex; answer: string }> {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const taken = new Promise<Duplex>((resolve) =>
    server.once('connection', (socket: Duplex) => resolve(socket)),
  )
  const client = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => {})
  closers.push(() => void client.destroy())
  client.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`,
  )
  const socket = await taken
  const [first]: Buffer[] = await once(client, 'data')
  return { client, socket, answer: String(first) }
}

describe('an upgrade that is refused', () => {
  test.each(CASES)('[WH9] $what: gets $status, is counted, and may be reset', async (refused) => {
    const { server, node } = await application(refused.options)
    for (let i = 0; i < (refused.before ?? 0); i++) await upgrade(server, refused)
    const { client, socket, answer } = await upgrade(server, refused)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${refused.status} `))
    expect(answer.includes('Retry-After: ')).toBe(refused.status === 503)
    expect(await node.metrics()).toContain(`peerage_rejections_total{${refused.counted}} 1`)
    // A reset causes this error, here at the worst moment.
    expect(() => socket.emit('error', new Error('read ECONNRESET'))).not.toThrow()
    const closed = new Promise((resolve) => socket.once('close', resolve))
    client.resetAndDestroy()
    await closed
    await upgrade(server, { path: '/nowhere' })
  })

  test('[WH9] may be reset while it is left to other listeners, none of which takes it', async () => {
    const { server } = await application()
    server.on('upgrade', () => {})
    const taken = once(server, 'upgrade')
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    closers.push(() => void client.destroy())
    client.write('GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    const [, socket] = (await taken) as [unknown, Duplex]
    expect(() => socket.emit('error', new Error('read ECONNRESET'))).not.toThrow()
    socket.destroy()
  })

  test('[WH9] is destroyed soon if the other end does not end its socket', async () => {
    const { server } = await application()
    const { client, socket } = await upgrade(server, { path: '/nowhere' })
    let arrived = 0
    const flood = setInterval(() => client.write('more'), 20)
    closers.push(() => clearInterval(flood))
    client.on('data', (data: Buffer) => (arrived += data.length))
    await once(socket, 'close')
    expect(socket.destroyed).toBe(true)
    expect(arrived).toBe(0)
  })
})
