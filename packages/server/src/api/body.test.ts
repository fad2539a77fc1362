import { once } from 'node:events'
import { createServer, request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { KEY, closeApiFixtures, startApi } from '../testing/api-fixture.js'
import { Discards } from './body.js'

const MIB = 1_048_576
const closers: (() => void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) close()
  await closeApiFixtures()
})

/** A server that throws every body away, and how many bytes of each request it has read. */
async function discarding(
  clock: FakeClock,
): Promise<{ url: string; read: { bytes: number; request: IncomingMessage }[] }> {
  const read: { bytes: number; request: IncomingMessage }[] = []
  const discards = new Discards(clock)
  const server = createServer((incoming) => {
    const counted = { bytes: 0, request: incoming }
    read.push(counted)
    discards.rest(incoming)
    incoming.on('data', (chunk: Buffer) => (counted.bytes += chunk.length))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, read }
}

/** Begins a request with a body of `length` bytes, of which it sends `sent`. */
function posting(url: string, length: number, sent = length): ClientRequest {
  const headers = {
    Authorization: `Bearer ${KEY}`,
    'Content-Type': 'application/json',
    'Content-Length': length,
  }
  const posted = request(url, { method: 'POST', headers })
  posted.on('error', () => {})
  posted.write(Buffer.alloc(sent, ' '))
  closers.push(() => posted.destroy())
  return posted
}

/** Resolves when the connection of a request has ended, however that was. */
const closing = (posted: ClientRequest): Promise<unknown> =>
  new Promise((resolve) => posted.once('close', resolve))

describe('[API7] what is left of a refused body', () => {
  test('is read without a pause up to 12 MiB, and no timer is left', async () => {
    const clock = new FakeClock()
    const { url, read } = await discarding(clock)
    posting(url, 12 * MIB)
    await vi.waitFor(() => expect(read[0]?.request.complete).toBe(true))
    await vi.waitFor(() => expect(clock.pending).toBe(0))
    expect(read[0]?.bytes).toBe(12 * MIB)
  })

  test('is read at 8 MiB a second, which all bodies share', async () => {
    const clock = new FakeClock()
    const { url, read } = await discarding(clock)
    posting(url, 12 * MIB)
    await vi.waitFor(() => expect(read[0]?.request.complete).toBe(true))
    posting(url, 8 * MIB)
    // One timer for the whole body, and one for the pause.
    await vi.waitFor(() => expect(clock.pending).toBe(2))
    const first = read[1]?.bytes ?? 0
    expect(first).toBeLessThan(MIB)
    await clock.advance(500)
    await vi.waitFor(() => expect(read[1]?.bytes).toBeGreaterThan(3.5 * MIB))
    await vi.waitFor(() => expect(clock.pending).toBe(2))
    expect(read[1]?.bytes).toBeLessThan(5 * MIB)
    await clock.advance(600)
    await vi.waitFor(() => expect(read[1]?.bytes).toBe(8 * MIB))
    await vi.waitFor(() => expect(clock.pending).toBe(0))
  })

  test('ends the connection above 16 MiB', async () => {
    const clock = new FakeClock()
    const { url, read } = await discarding(clock)
    const posted = posting(url, 20 * MIB)
    const closed = closing(posted)
    await vi.waitFor(() => expect(read).toHaveLength(1))
    const [one] = read
    for (let i = 0; i < 30; i++) {
      if (one === undefined || one.request.destroyed) break
      const before = one.bytes
      await clock.advance(100)
      await vi.waitFor(() => expect(one.request.destroyed || one.bytes > before).toBe(true))
    }
    await closed
    expect(one?.bytes).toBeGreaterThan(15.9 * MIB)
    expect(one?.bytes).toBeLessThan(16.2 * MIB)
    await vi.waitFor(() => expect(clock.pending).toBe(0))
  })

  test('ends the connection after 5 s', async () => {
    const clock = new FakeClock()
    const { url, read } = await discarding(clock)
    const posted = posting(url, 100, 10)
    const closed = closing(posted)
    await vi.waitFor(() => expect(read[0]?.bytes).toBe(10))
    await clock.advance(4_999)
    expect(read[0]?.request.destroyed).toBe(false)
    await clock.advance(1)
    await closed
    expect(clock.pending).toBe(0)
  })

  test('costs no timer after the pause in which its connection ended', async () => {
    const clock = new FakeClock()
    const { url, read } = await discarding(clock)
    const posted = posting(url, 16 * MIB, 15 * MIB)
    await vi.waitFor(() => expect(clock.pending).toBe(2))
    posted.destroy()
    // While a socket is paused, its end is not read.
    await clock.advance(1_000)
    await vi.waitFor(() => expect(read[0]?.request.destroyed).toBe(true))
    expect(clock.pending).toBe(0)
  })

  test('leaves no timer when the server ends its connections', async () => {
    const clock = new FakeClock()
    const { url, read } = await discarding(clock)
    const closed = closing(posting(url, 16 * MIB))
    await vi.waitFor(() => expect(clock.pending).toBe(2))
    read[0]?.request.destroy()
    await closed
    expect(clock.pending).toBe(0)
  })

  test.each([
    ['whose length says that it is too long', {}],
    ['without a length', { 'Transfer-Encoding': 'chunked' }],
  ])('shares the rate after an answer of the API, for a body %s', async (_, headers) => {
    const clock = new FakeClock()
    const { url } = await startApi({ clock })
    const body = Buffer.alloc(15 * MIB, ' ')
    const length = 'Transfer-Encoding' in headers ? {} : { 'Content-Length': body.length }
    const posted = request(`${url}/broadcast`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${KEY}`,
        'Content-Type': 'application/json',
        ...headers,
        ...length,
      },
    })
    posted.on('error', () => {})
    const answered = once(posted, 'response')
    posted.end(body)
    const [answer]: [IncomingMessage] = (await answered) as never
    expect(answer.statusCode).toBe(413)
    answer.resume()
    await vi.waitFor(() => expect(clock.pending).toBe(2))
    await clock.advance(1_000)
    await vi.waitFor(() => expect(clock.pending).toBe(0))
  })
})

describe('[API3] refusals of one address', () => {
  test('come at once up to 100, then a second later, and those of other addresses at once', async () => {
    const clock = new FakeClock()
    let address = '192.0.2.1'
    const { call } = await startApi({ clock, addresses: { bucketOf: () => address } as never })
    const statuses = await Promise.all(
      Array.from({ length: 100 }, async () => (await call('/nodes', { key: 'wrong' })).status),
    )
    expect(new Set(statuses)).toEqual(new Set([401, 429]))
    expect(clock.pending).toBe(0)
    let late: number | undefined
    const waiting = call('/nodes', { key: 'wrong' }).then(({ status }) => (late = status))
    await vi.waitFor(() => expect(clock.pending).toBe(1))
    address = '192.0.2.2'
    expect((await call('/nodes', { key: 'wrong' })).status).toBe(401)
    expect((await call('/nodes')).status).toBe(200)
    await clock.advance(999)
    expect(late).toBeUndefined()
    await clock.advance(1)
    expect(await waiting).toBe(429)
  })

  test('of other kinds are never late', async () => {
    const clock = new FakeClock()
    const { call } = await startApi({ clock })
    for (let i = 0; i < 110; i++) expect((await call('/peers/nobody')).status).toBe(404)
    expect(clock.pending).toBe(0)
  })
})
