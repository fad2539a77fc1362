import { request } from 'node:http'
import { connect } from 'node:net'
import { once } from 'node:events'
import { RegistryUnavailable } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { KEY, OTHER_KEY, app, closeApiFixtures, startApi } from '../testing/api-fixture.js'
import { operations } from './operations.js'

afterEach(closeApiFixtures)

/** Sends a request as it is, and returns the whole answer. */
async function raw(url: string, text: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(text)
  let answer = ''
  socket.on('data', (chunk) => (answer += String(chunk)))
  socket.on('error', () => {})
  await once(socket, 'close')
  return answer
}

describe('keys', () => {
  test('[API1] without keys there is no API, and the next listener gets the request', async () => {
    const { url, setKeys } = await startApi()
    setKeys([])
    for (const path of ['/nodes', '/openapi.json', '/nothing'])
      expect(await (await fetch(`${url}${path}`)).text()).toBe('not ours')
  })

  test('[API1] paths beside the API belong to other listeners', async () => {
    const { url } = await startApi()
    for (const path of ['/', '/v11/nodes', '/V1/nodes', '/x/v1/nodes'])
      expect(await (await fetch(new URL(path, url))).text()).toBe('not ours')
    for (const path of ['/v1', '/v1/']) expect((await fetch(new URL(path, url))).status).toBe(401)
  })

  test.each([
    ['no header', undefined, 'send the header'],
    ['another scheme', 'Basic abc', 'must be: Bearer KEY'],
    ['no key', 'Bearer ', 'must be: Bearer KEY'],
    ['two keys', `Bearer ${KEY} ${KEY}`, 'must be: Bearer KEY'],
    ['a wrong key', 'Bearer wrong', 'no app of this node has this key'],
    ['a long key', `Bearer ${'k'.repeat(8_000)}`, 'no app of this node has this key'],
  ])('[API2] %s is 401, and says what to send', async (_, header, why) => {
    const { call } = await startApi()
    const answer = await call('/nodes', {
      key: null,
      headers: header === undefined ? {} : { Authorization: header },
    })
    expect([answer.status, answer.headers.get('WWW-Authenticate')]).toEqual([401, 'Bearer realm="peerage"'])
    expect(answer.json).toMatchObject({ code: 'unauthorized', detail: expect.stringContaining(why) })
  })

  test('[API2] a key is good until a reload takes it away', async () => {
    const { call, setKeys } = await startApi()
    expect((await call('/nodes', { headers: { Authorization: `bearer  ${KEY}` }, key: null })).status).toBe(
      200,
    )
    setKeys([[app('default'), ['another-key-of-24-letters']]])
    expect((await call('/nodes')).status).toBe(401)
    expect((await call('/nodes', { key: 'another-key-of-24-letters' })).status).toBe(200)
  })

  test('[API3] after many wrong keys from an address a right key gets the same answer', async () => {
    const clock = new FakeClock()
    const { call } = await startApi({
      clock,
      addresses: { bucketOf: () => '192.0.2.1' } as never,
    })
    for (let i = 0; i < 5; i++) expect((await call('/nodes', { key: 'wrong' })).status).toBe(401)
    const [wrong, right] = [await call('/nodes', { key: 'wrong' }), await call('/nodes')]
    expect([wrong.status, wrong.headers.get('Retry-After')]).toEqual([429, '12'])
    expect(right).toMatchObject({ status: 429, text: wrong.text })
    await clock.advance(60_000)
    expect((await call('/nodes')).status).toBe(200)
  })

  test('[API3] loopback is exempt', async () => {
    const { call } = await startApi()
    for (let i = 0; i < 20; i++) expect((await call('/nodes', { key: 'wrong' })).status).toBe(401)
    expect((await call('/nodes')).status).toBe(200)
  })

  test('[API4] the document needs no key, and only it', async () => {
    const { call } = await startApi()
    const answer = await call('/openapi.json', { key: null })
    expect(answer).toMatchObject({ status: 200, json: { openapi: '3.1.0' } })
    expect((await call('/openapi.json', { key: null, method: 'POST' })).status).toBe(401)
  })
})

describe('requests', () => {
  test('[API5] an error is a problem, and has no more than it says', async () => {
    const { call } = await startApi()
    const answer = await call('/peers/nobody')
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json')
    expect(answer.headers.get('Cache-Control')).toBe('no-store')
    expect(answer.json).toEqual({
      type: 'urn:peerage:problem:not-found',
      title: 'There is nothing here',
      status: 404,
      code: 'not-found',
      detail: 'nobody holds this name',
    })
  })

  test('[API5] a fault is reported, and its text is not answered', async () => {
    const { call, errors, store } = await startApi()
    const failure = new Error('secret text')
    store.records.page = () => Promise.reject(failure)
    expect(await call('/servers')).toMatchObject({ status: 500, json: { code: 'internal' } })
    expect(errors).toEqual([failure])
  })

  test('[API5] a store that does not answer is 503, to be tried again', async () => {
    const { call, errors, store } = await startApi()
    store.records.page = () => Promise.reject(new RegistryUnavailable('gone'))
    const answer = await call('/servers')
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, '1'])
    expect(answer.json).toMatchObject({ code: 'store-unavailable', detail: operations.listServers.outage })
    expect(errors).toEqual([])
  })

  test.each([
    ['/peers/a', undefined, 'getPeer'],
    ['/peers/count', undefined, 'countPeers'],
    ['/bans', undefined, 'listBans'],
    ['/broadcast', { data: 1 }, 'broadcast'],
    ['/peers/a/disconnect', { banMs: 1_000 }, 'disconnectPeer'],
    ['/identities/a/disconnect', { banMs: 1_000 }, 'disconnectIdentity'],
    ['/revocations', { jti: 'a' }, 'revokeTokens'],
  ] as const)('[API5] the 503 of %s says what may have been done', async (path, body, id) => {
    const { call, store, server } = await startApi()
    const gone = (): Promise<never> => Promise.reject(new RegistryUnavailable('gone'))
    Object.assign(store.records, { put: gone, get: gone, page: gone })
    server.node.listing.count = gone
    server.node.lookup = gone
    expect(await call(path, body === undefined ? {} : { body })).toMatchObject({
      status: 503,
      json: { code: 'store-unavailable', detail: operations[id].outage },
    })
  })

  test('[API5] [API11] a request whose Idempotency-Key the store does not take is not carried out', async () => {
    const { call, store, disconnects } = await startApi()
    store.answers.begin = () => Promise.reject(new RegistryUnavailable('gone'))
    const answer = await call('/peers/a/disconnect', { body: {}, headers: { 'Idempotency-Key': 'k' } })
    expect(answer).toMatchObject({
      status: 503,
      json: { detail: expect.stringContaining('was not carried out') },
    })
    expect(disconnects).toEqual([])
  })

  test.each([
    ['/peers?limit=1001', undefined, 'query.limit: must be at most 1000'],
    ['/peers?limit=0', undefined, 'query.limit: must be at least 1'],
    ['/peers?limit=x', undefined, 'query.limit: must be a whole number'],
    ['/peers?state=gone', undefined, 'query.state: must be "online" or "away"'],
    ['/peers?page=2', undefined, 'query.page: is unknown'],
    ['/peers/a/messages', 1, 'body: must be an object'],
    ['/peers/a/messages', { base64: '***' }, 'body.base64: must be base64 (RFC 4648 §4)'],
    ['/peers/a/messages', { data: 1, timeoutMs: 30_001 }, 'body.timeoutMs: must be at most 30000'],
    ['/peers/a/messages', { data: 1, timeoutMs: 1.5 }, 'body.timeoutMs: must be a whole number'],
    ['/peers/a/messages', { data: 1, timeoutMs: '5' }, 'body.timeoutMs: must be a whole number'],
    ['/messages', { data: 1 }, 'body.to: is missing'],
    ['/messages', { data: 1, to: 'a' }, 'body.to: must be a list'],
    ['/messages', { data: 1, to: [] }, 'body.to: must not be empty'],
    ['/messages', { data: 1, to: [''] }, 'body.to[0]: must not be empty'],
    ['/messages', { data: 1, to: [7] }, 'body.to[0]: must be a string'],
    [
      '/messages',
      { data: 1, to: Array.from({ length: 101 }, (_, i) => `${i}`) },
      'body.to: must have at most 100 entries',
    ],
    ['/messages', { data: 1, to: ['a'.repeat(129)] }, 'body.to[0]: must have at most 128 characters'],
    ['/peers/a/disconnect', { reason: '' }, 'body.reason: must not be empty'],
    ['/tokens', { sub: 'a', ttlMs: 1 }, 'body.ttlMs: must be at least 1000'],
    ['/tokens', { sub: 'a', peerage: { discovery: 'yes' } }, 'body.peerage.discovery: must be true or false'],
  ] as const)('[API8] %s with %j is refused with what the value must be', async (path, body, detail) => {
    const { call } = await startApi()
    const { status, json } = await call(path, body === undefined ? {} : { body })
    expect([status, json]).toMatchObject([400, { detail, errors: [{}] }])
  })

  test('[API6] an unknown path is 404, and another method 405 with those that there are', async () => {
    const { call } = await startApi()
    for (const path of ['/', '', '/nothing', '/peers/', '/peers/a/b', '/peers/a/messages/'])
      expect((await call(path)).status, path).toBe(404)
    for (const [path, method, allow] of [
      ['/peers', 'POST', 'GET, HEAD'],
      ['/peers/a/messages', 'GET', 'POST'],
      ['/servers/a', 'PATCH', 'GET, HEAD, PUT, DELETE'],
      ['/peers', 'OPTIONS', 'GET, HEAD'],
    ] as const) {
      const answer = await call(path, { method })
      expect([answer.status, answer.headers.get('Allow')], `${method} ${path}`).toEqual([405, allow])
    }
  })

  test('[API6] HEAD is GET without its body', async () => {
    const { url } = await startApi()
    const headers = { Authorization: `Bearer ${KEY}` }
    const [head, get] = [
      await fetch(`${url}/nodes`, { method: 'HEAD', headers }),
      await fetch(`${url}/nodes`, { headers }),
    ]
    expect([head.status, await head.text()]).toEqual([200, ''])
    expect(head.headers.get('Content-Length')).toBe(get.headers.get('Content-Length'))
  })

  test.each([
    ['not JSON', '{', {}, 400, 'is not JSON'],
    ['not UTF-8', '\xff', {}, 400, 'UTF-8'],
    ['nested 65 levels deep', '['.repeat(65) + ']'.repeat(65), {}, 400, '64 levels'],
    [
      'of another type',
      'data=1',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      415,
      'application/json',
    ],
    [
      'of another charset',
      '{}',
      { 'Content-Type': 'application/json; charset=latin1' },
      415,
      'application/json',
    ],
    ['compressed', '{}', { 'Content-Encoding': 'gzip' }, 415, 'Content-Encoding'],
  ])('[API7] a body that is %s is refused', async (_, body, headers, status, why) => {
    const { call } = await startApi()
    const bytes = body === '\xff' ? Buffer.from([0x22, 0xff, 0x22]) : body
    const answer = await call('/broadcast', { body: bytes, method: 'POST', headers })
    expect([answer.status, answer.json]).toMatchObject([status, { detail: expect.stringContaining(why) }])
  })

  test('[API7] a body of 10 MB is refused before it is read, and the connection goes on', async () => {
    const { call, url } = await startApi()
    const body = JSON.stringify({ data: 'x'.repeat(10_000_000) })
    expect(await call('/broadcast', { body })).toMatchObject({ status: 413, json: { code: 'too-large' } })
    // Without a length it is counted while it arrives.
    const chunked = request(`${url}/broadcast`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${KEY}`,
        'Content-Type': 'application/json',
        'Transfer-Encoding': 'chunked',
      },
    })
    chunked.on('error', () => {})
    chunked.end(body)
    const [answer] = await once(chunked, 'response')
    expect(answer).toMatchObject({ statusCode: 413 })
    expect((await call('/nodes')).status).toBe(200)
  })

  test('[API7] a slow body is refused after 10 s', async () => {
    const clock = new FakeClock()
    const { url } = await startApi({ clock })
    const slow = request(`${url}/broadcast`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json', 'Content-Length': 100 },
    })
    slow.on('error', () => {})
    slow.write('{"data":')
    const answered = once(slow, 'response')
    await vi.waitFor(() => expect(clock.pending).toBeGreaterThan(0))
    await clock.advance(10_000)
    const [answer] = await answered
    expect(answer).toMatchObject({ statusCode: 408 })
    answer.on('error', () => {}).resume()
    // What is left of it is not waited for.
    const closed = once(slow, 'close')
    await vi.waitFor(() => expect(clock.pending).toBe(1))
    await clock.advance(5_000)
    await closed
  })

  test('[API7] a request whose connection ends within the body does nothing', async () => {
    const { url, answers } = await startApi()
    const cut = request(`${url}/broadcast`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json', 'Content-Length': 100 },
    })
    cut.on('error', () => {})
    cut.write('{"data":1}', () => cut.destroy())
    await vi.waitFor(() => expect(answers).toEqual(['broadcast 400']))
  })

  test('[API7] an operation without required fields needs no body', async () => {
    const { call } = await startApi()
    expect((await call('/peers/a/disconnect', { method: 'POST' })).status).toBe(200)
    expect((await call('/broadcast', { method: 'POST' })).status).toBe(400)
  })

  test('[API8] every wrong value is named', async () => {
    const { call } = await startApi()
    const answer = await call('/messages?x=1', {
      body: { to: ['a', '', 3], data: 1, timeoutMs: '5', extra: 1 },
    })
    expect(answer).toMatchObject({ status: 400, json: { code: 'bad-request' } })
    expect(answer.json).toHaveProperty(
      'errors',
      expect.arrayContaining(
        ['query.x', 'body.to[1]', 'body.to[2]', 'body.timeoutMs', 'body.extra'].map((at) =>
          expect.objectContaining({ at }),
        ),
      ),
    )
  })

  test.each([
    '/peers?limit=0',
    '/peers?limit=1001',
    '/peers?limit=1.5',
    '/peers?limit=',
    '/peers?limit=1&limit=2',
    '/peers?state=offline',
    '/peers?unknown=1',
    '/peers/%ff',
    '/peers/%00',
    '/peers/%E2%80%AE',
    `/peers/${'x'.repeat(129)}`,
    '/servers/%20',
  ])('[API8] GET %s is 400', async (path) => {
    const { call } = await startApi()
    expect(await call(path)).toMatchObject({
      status: 400,
      json: { code: 'bad-request', errors: [expect.anything()] },
    })
  })

  test('[API8] a request that is no proper HTTP hurts nobody', async () => {
    const { url, call } = await startApi()
    const head = `Authorization: Bearer ${KEY}\r\nConnection: close\r\n`
    for (const line of [
      'GET /v1/nodes HTTP/1.0',
      'GET /v1/peers?%zz HTTP/1.1\r\nHost: ][',
      'GET /v1/%zz HTTP/1.1\r\nHost: a',
    ])
      expect(await raw(url, `${line}\r\n${head}\r\n`)).toMatch(/^HTTP\/1\.1 (?:200|40[04]) /)
    expect((await call('/nodes')).status).toBe(200)
  })

  test('[API10] an app has 400 requests at once and 200 a second, and another app is not slowed down', async () => {
    const clock = new FakeClock()
    const { call } = await startApi({ clock })
    for (let done = 0; done < 400; done += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => call('/nodes')))
      expect(answers.every(({ status }) => status === 200)).toBe(true)
    }
    const answer = await call('/nodes')
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([429, '1'])
    expect((await call('/nodes', { key: OTHER_KEY })).status).toBe(200)
    await clock.advance(5)
    expect((await call('/nodes')).status).toBe(200)
  }, 60_000)
})
