import { createServer } from 'node:https'
import { readFileSync } from 'node:fs'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { systemClock } from '@peerage/core'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { json, webServer } from '../testing/web-server.js'
import { createOutbound, type Outbound, type OutboundOptions, type OutboundRequest } from './outbound.js'

const GET: OutboundRequest = { method: 'GET', timeoutMs: 5_000, mostBytes: 1_024, allowPrivate: true }
const LOOPBACK = { address: '127.0.0.1', family: 4 }

function outboundTest(options: Partial<OutboundOptions> = {}): Outbound {
  const outbound = createOutbound({ clock: systemClock, ...options })
  onTestFinished(() => outbound.stop())
  return outbound
}

describe('a request', () => {
  test('sends its method, headers and body, and gets status and body', async () => {
    const seen: unknown[] = []
    const server = await webServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        const { method, url, headers } = request
        seen.push({ method, url, body, headers })
        response.writeHead(201).end('é')
      })
    })
    const answer = await outboundTest().request(`${server.url}a?b=c`, {
      ...GET,
      method: 'POST',
      body: 'ü',
      headers: { 'x-y': 'z' },
    })
    expect(answer).toEqual({ ok: true, status: 201, body: 'é' })
    expect(seen).toEqual([
      {
        method: 'POST',
        url: '/a?b=c',
        body: 'ü',
        headers: expect.objectContaining({
          'x-y': 'z',
          'content-length': '2',
          'accept-encoding': 'identity',
          host: `127.0.0.1:${server.port}`,
        }),
      },
    ])
  })

  test('does not follow a redirect, and asks for nothing there', async () => {
    const other = await webServer(json({}))
    for (const status of [301, 302, 303, 307, 308]) {
      const server = await webServer(
        (_, response) => void response.writeHead(status, { location: other.url }).end(),
      )
      expect(await outboundTest().request(server.url, GET)).toEqual({
        ok: false,
        cause: 'answer',
        problem: `answered with a redirect (${status}), and redirects are not followed`,
      })
    }
    expect(other.count).toBe(0)
  })

  test('takes as many bytes as it may, and not one more', async () => {
    const server = await webServer(
      (request, response) => void response.end('x'.repeat(Number(request.url?.slice(1)))),
    )
    const outbound = outboundTest()
    expect(await outbound.request(`${server.url}1024`, GET)).toMatchObject({ ok: true })
    expect(await outbound.request(`${server.url}1025`, GET)).toEqual({
      ok: false,
      cause: 'answer',
      problem: 'answered with more than 1024 bytes',
    })
  })

  test('ends an answer without end', async () => {
    let isClosed = false
    const server = await webServer((_, response) => {
      response.on('close', () => (isClosed = true))
      const write = (): void => {
        while (!response.destroyed && response.write('x'.repeat(16_384)));
        if (!response.destroyed) response.once('drain', write)
      }
      write()
    })
    expect(await outboundTest().request(server.url, GET)).toMatchObject({ ok: false, cause: 'answer' })
    await vi.waitFor(() => expect(isClosed).toBe(true))
  })

  test.each([
    ['garbage', 'hello\r\n\r\n'],
    ['half an answer', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'],
    ['huge headers', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(10_000)}\r\n`],
    ['nothing', ''],
  ])('fails on %s', async (_, bytes) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(bytes))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    expect(await outboundTest().request(`http://127.0.0.1:${port}/`, GET)).toMatchObject({
      ok: false,
      problem: expect.any(String),
    })
  })

  test('fails at once if the server switches protocols', async () => {
    const server = await webServer((request) => {
      request.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
    })
    expect(await outboundTest().request(server.url, GET)).toEqual({
      ok: false,
      cause: 'answer',
      problem: 'gave no answer of HTTP',
    })
  })

  test('fails where nobody listens', async () => {
    const server = await webServer(json({}))
    await server.close()
    expect(await outboundTest().request(server.url, GET)).toMatchObject({
      ok: false,
      cause: 'unreachable',
      problem: expect.stringContaining('ECONNREFUSED'),
    })
  })

  test('ends at its deadline, and by its signal', async () => {
    const clock = new FakeClock()
    const server = await webServer(() => {})
    const outbound = outboundTest({ clock })
    const late = outbound.request(server.url, GET)
    await vi.waitFor(() => expect(server.count).toBe(1))
    await clock.advance(5_000)
    expect(await late).toEqual({ ok: false, cause: 'unreachable', problem: 'did not answer within 5000 ms' })
    const ended = new AbortController()
    const request = outbound.request(server.url, { ...GET, signal: ended.signal })
    await vi.waitFor(() => expect(server.count).toBe(2))
    ended.abort()
    expect(await request).toMatchObject({ ok: false, cause: 'unreachable' })
    expect(await outbound.request(server.url, { ...GET, signal: ended.signal })).toMatchObject({ ok: false })
    expect(server.count).toBe(2)
    expect(clock.pending).toBe(0)
  })

  test('counts the look-up into its deadline', async () => {
    const clock = new FakeClock()
    const outbound = outboundTest({ clock, lookup: () => new Promise(() => {}) })
    const request = outbound.request('http://slow.example/', GET)
    await clock.advance(5_000)
    expect(await request).toMatchObject({ ok: false, problem: 'did not answer within 5000 ms' })
  })

  test('uses a connection again, and a new one if the server has closed it', async () => {
    const server = await webServer(json({}))
    const outbound = outboundTest()
    for (let i = 0; i < 3; i++)
      expect(await outbound.request(server.url, { ...GET, method: 'POST', body: '{}' })).toMatchObject({
        ok: true,
      })
    expect(server.connections).toBe(1)
    // From now on, each connection takes one request, and breaks at the next one.
    const used = new WeakSet()
    server.answer = (request, response) => {
      if (used.has(request.socket)) return void request.socket.destroy()
      used.add(request.socket)
      json({})(request, response)
    }
    for (let i = 0; i < 4; i++)
      expect(await outbound.request(server.url, { ...GET, method: 'POST', body: '{}' })).toMatchObject({
        ok: true,
      })
  })
})

describe('addresses', () => {
  const lookupOf =
    (...addresses: string[]) =>
    async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

  test.each([
    ['127.0.0.1'],
    ['169.254.169.254'],
    ['::1'],
    ['::ffff:10.0.0.1'],
    ['8.8.8.8', '127.0.0.1'],
    ['2606:4700::1111', 'fd00::1'],
  ])('a name with the address %s is refused before a connection', async (...addresses) => {
    const server = await webServer(json({}))
    const outbound = outboundTest({ lookup: lookupOf(...addresses) })
    expect(
      await outbound.request(`http://rebound.example:${server.port}/`, { ...GET, allowPrivate: false }),
    ).toMatchObject({
      ok: false,
      cause: 'address',
      problem: expect.stringContaining('is not a public address'),
    })
    expect(server.count).toBe(0)
  })

  test.each([
    '127.0.0.1',
    '[::1]',
    '2130706433',
    '0x7f.1',
    '127.1',
    '[::ffff:127.0.0.1]',
    '0',
    '[::ffff:7f00:1]',
  ])('the host %s in a URL is refused', async (host) => {
    const server = await webServer(json({}))
    expect(
      await outboundTest().request(`http://${host}:${server.port}/`, { ...GET, allowPrivate: false }),
    ).toMatchObject({
      ok: false,
      cause: 'address',
    })
    expect(server.count).toBe(0)
  })

  test('the connection goes to the address that was checked, though the name leads elsewhere at the next look-up', async () => {
    const server = await webServer(json({ where: 'checked' }))
    let count = 0
    const lookup = vi.fn(async () => [count++ === 0 ? LOOPBACK : { address: '192.0.2.1', family: 4 }])
    const outbound = outboundTest({ lookup })
    expect(await outbound.request(`http://rebound.example:${server.port}/`, GET)).toMatchObject({
      ok: true,
      body: '{"where":"checked"}',
    })
    expect(lookup).toHaveBeenCalledTimes(1)
  })

  test('the addresses are checked again for a connection that was kept', async () => {
    const server = await webServer(json({}))
    let addresses = ['127.0.0.1']
    const outbound = outboundTest({
      lookup: async () => addresses.map((address) => ({ address, family: 4 })),
    })
    const url = `http://rebound.example:${server.port}/`
    expect(await outbound.request(url, GET)).toMatchObject({ ok: true })
    addresses = ['10.0.0.1']
    expect(await outbound.request(url, { ...GET, allowPrivate: false })).toMatchObject({
      ok: false,
      cause: 'address',
    })
    expect(server.count).toBe(1)
  })

  test('if the first address does not answer, the next one is used', async () => {
    const server = await webServer(json({}))
    const outbound = outboundTest({ lookup: lookupOf('::1', '127.0.0.1') })
    expect(await outbound.request(`http://two.example:${server.port}/`, GET)).toMatchObject({ ok: true })
  })

  test('requests at once share one look-up', async () => {
    const server = await webServer(json({}))
    const lookup = vi.fn(async () => [LOOPBACK])
    const outbound = outboundTest({ lookup })
    await Promise.all(
      Array.from({ length: 20 }, () => outbound.request(`http://one.example:${server.port}/`, GET)),
    )
    expect(lookup).toHaveBeenCalledTimes(1)
  })

  test.each([
    ['fails', () => Promise.reject(new Error('ENOTFOUND'))],
    ['finds nothing', () => Promise.resolve([])],
  ])('a look-up that %s is a failure', async (_, lookup) => {
    expect(await outboundTest({ lookup }).request('http://gone.example/', GET)).toMatchObject({
      ok: false,
      cause: 'unreachable',
    })
  })
})

describe('TLS', () => {
  test('SNI, Host and certificate are of the name, while the connection goes to the checked address', async () => {
    const certificates = await makeCertificates(['DNS:id.example'])
    onTestFinished(() => certificates.remove())
    const [ca, cert, key] = [certificates.ca, certificates.cert, certificates.key].map((file) =>
      readFileSync(file, 'utf8'),
    )
    const seen: unknown[] = []
    const server = createServer({ cert, key }, (request, response) => {
      const { servername } = request.socket as TLSSocket
      seen.push({ servername, host: request.headers.host })
      response.end('{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.close()
      server.closeAllConnections()
    })
    const { port } = server.address() as AddressInfo
    const lookup = async () => [LOOPBACK]
    const trusting = outboundTest({ lookup, ...(ca !== undefined && { ca }) })
    expect(await trusting.request(`https://id.example:${port}/`, GET)).toMatchObject({
      ok: true,
      status: 200,
    })
    expect(seen).toEqual([{ servername: 'id.example', host: `id.example:${port}` }])
    // By its address, the certificate is checked for the address.
    expect(await trusting.request(`https://127.0.0.1:${port}/`, GET)).toMatchObject({ ok: true })
    expect(await trusting.request(`https://other.example:${port}/`, GET)).toMatchObject({
      ok: false,
      cause: 'unreachable',
      problem: expect.stringContaining("does not match certificate's altnames"),
    })
    expect(await outboundTest({ lookup }).request(`https://id.example:${port}/`, GET)).toMatchObject({
      ok: false,
      cause: 'unreachable',
    })
    expect(seen).toHaveLength(2)
  })
})
