import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ApiError } from './api-error.js'
import { createApi } from './api.js'

interface Sent {
  url: string
  method: string | undefined
  headers: Headers
  body: unknown
}

/** A `fetch` that answers with these, one after the other, and the last one again and again. */
function answering(...answers: (Response | Error)[]) {
  const sent: Sent[] = []
  const send: typeof fetch = (url, { method, headers, body } = {}) => {
    sent.push({ url: url instanceof URL ? url.href : '', method, headers: new Headers(headers), body })
    const answer = answers.length > 1 ? answers.shift() : answers[0]
    if (answer instanceof Error) return Promise.reject(answer)
    return Promise.resolve(answer?.clone() ?? new Response())
  }
  return { sent, api: createApi({ url: 'https://tier.test/below', key: 'secret-key', fetch: send }) }
}

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers })
const problem = (status: number, code: string, headers?: Record<string, string>): Response =>
  json({ code, detail: 'why' }, status, headers)

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }))
afterEach(() => void vi.useRealTimers())

/** Lets time pass until a promise is settled. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  const ended = promise.then(
    () => true,
    () => true,
  )
  const passed = (): Promise<boolean> => vi.advanceTimersByTimeAsync(50).then(() => false)
  for (;;) if (await Promise.race([ended, passed()])) return promise
}

describe('attempts', () => {
  test('[API41] a call that acts is repeated with the same Idempotency-Key', async () => {
    const { api, sent } = answering(
      new TypeError('fetch failed', { cause: new Error('ECONNRESET') }),
      problem(503, 'store-unavailable', { 'Retry-After': '1' }),
      problem(409, 'in-progress', { 'Retry-After': '1' }),
      json({ result: 'delivered' }),
    )
    expect(await settled(api.sendToPeer('a/b', { x: 1 }, { timeoutMs: 5_000 }))).toBe('delivered')
    expect(sent).toHaveLength(4)
    expect(new Set(sent.map(({ headers }) => headers.get('Idempotency-Key'))).size).toBe(1)
    expect(sent[0]).toMatchObject({
      url: 'https://tier.test/below/v1/peers/a%2Fb/messages',
      method: 'POST',
      body: '{"data":{"x":1},"timeoutMs":5000}',
    })
    expect(sent[0]?.headers.get('Authorization')).toBe('Bearer secret-key')
  })

  test('[API41] two calls have two keys, and an own key is used as it is', async () => {
    const { api, sent } = answering(json({ result: 'sent' }))
    await api.sendToRoom('r', 1)
    await api.sendToRoom('r', 1)
    await api.sendToRoom('r', 1, { idempotencyKey: 'mine' })
    const keys = sent.map(({ headers }) => headers.get('Idempotency-Key'))
    expect(new Set(keys).size).toBe(3)
    expect(keys[2]).toBe('mine')
  })

  test('[API41] a problem that stays is not repeated', async () => {
    const { api, sent } = answering(
      json(
        { code: 'bad-request', detail: 'body.to: is empty', errors: [{ at: 'body.to', detail: 'is empty' }] },
        400,
      ),
    )
    await expect(api.sendToPeers([], 1)).rejects.toMatchObject({
      name: 'ApiError',
      code: 'bad-request',
      status: 400,
      message: 'bad-request: body.to: is empty',
      errors: [{ at: 'body.to', detail: 'is empty' }],
    })
    expect(sent).toHaveLength(1)
  })

  test('[API41] when the time is over, the error says why the last attempt failed', async () => {
    const { api, sent } = answering(
      new TypeError('fetch failed', { cause: new Error('ECONNREFUSED 127.0.0.1') }),
    )
    const error: unknown = await settled(api.countPeers()).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({
      code: 'unreachable',
      message: 'https://tier.test/below/v1/ cannot be used: fetch failed (ECONNREFUSED 127.0.0.1)',
    })
    expect(sent.length).toBeGreaterThan(5)
    expect(String(error)).not.toContain('secret-key')
  })

  test('[API41] an aborted call rejects with the reason of its signal, also while it waits', async () => {
    const { api } = answering(problem(503, 'draining'))
    const controller = new AbortController()
    const call = api.countPeers({ signal: controller.signal })
    await vi.advanceTimersByTimeAsync(100)
    controller.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    await expect(api.countPeers({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
  })

  test.each([502, 503, 504])(
    '[API41] a %d of a load balancer without nodes is tried again, and when the time is over named as such',
    async (status) => {
      const outage = new Response('<html>', { status })
      const passing = answering(outage, outage, json({ count: 3 }))
      expect(await settled(passing.api.countPeers())).toBe(3)
      const lasting = answering(outage)
      const error: unknown = await settled(lasting.api.countPeers()).catch((failure: unknown) => failure)
      expect(error).toMatchObject({
        code: 'unreachable',
        status,
        message: expect.stringContaining(`${status}`),
      })
    },
  )

  test.each([
    [413, 'too-large', 'a proxy before the nodes answered 413: it lets no body of this size through'],
    [429, 'rate-limited', 'a proxy before the nodes answered 429: it lets no more requests through'],
  ])('[API41] a %d of a proxy is the error %s, and names the proxy', async (status, code, message) => {
    const { api } = answering(new Response('<html>', { status }))
    await expect(settled(api.sendToPeer('a', 1))).rejects.toMatchObject({ code, status, message })
  })

  test.each([
    ['a page', new Response('<html>', { status: 404 })],
    ['other JSON', json({ error: 'not found' }, 404)],
  ])('[API41] %s that is no answer of a node is an error that says so', async (_, answer) => {
    const { api } = answering(answer)
    await expect(api.getPeer('a')).rejects.toMatchObject({ code: 'not-an-api', status: 404 })
  })

  test.each([
    ['text', new Response('ok')],
    ['nothing', new Response(null, { status: 204 })],
    ['another JSON object', json({ peers: [] })],
    ['JSON that is no object', json(null)],
  ])('[API41] a success with %s that no node answers is an error that says so', async (_, answer) => {
    const { api, sent } = answering(answer)
    await expect(api.countPeers()).rejects.toMatchObject({ name: 'ApiError', code: 'not-an-api' })
    await expect(api.getPeer('a')).rejects.toMatchObject({ code: 'not-an-api' })
    await expect(api.sendToRoom('a', 1)).rejects.toMatchObject({ code: 'not-an-api' })
    expect(sent).toHaveLength(3)
  })

  test('[API41] a success with a page is no answer to a removal', async () => {
    const { api } = answering(new Response('<html>'))
    await expect(api.liftBan('name', 'a')).rejects.toMatchObject({ code: 'not-an-api', status: 200 })
  })

  test('[API42] a registration is renewed every 10 s, also after a failure, until it stops', async () => {
    const errors: unknown[] = []
    const { api, sent } = answering(
      json({ id: 'a', address: 'x', status: 'up', ttlMs: 30_000 }),
      problem(409, 'too-many'),
      json({ id: 'a', address: 'x', status: 'up', ttlMs: 30_000 }),
      new Response(null, { status: 204 }),
    )
    const registration = await api.registerServer({
      id: 'a',
      address: 'x',
      onError: (error) => errors.push(error),
    })
    await vi.advanceTimersByTimeAsync(10_000)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(sent.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT'])
    expect(errors).toMatchObject([{ code: 'too-many' }])
    await registration.stop()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(sent.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT', 'DELETE'])
  })
})

test.each([
  [{ url: 'ws://a', key: 'k' }, 'must begin with https:// or http://'],
  [{ url: 'nonsense', key: 'k' }, 'Invalid URL'],
  [{ url: 'http://a', key: '' }, '`key` is empty'],
  [{ url: 'http://a', key: 'a secret' }, 'it has a space, a line break'],
  [{ url: 'http://a', key: 'a\nsecret\n' }, 'it has a space, a line break'],
  [{ url: 'http://a' }, 'key'],
  [{ url: 'http://a', key: 'k', timeout: 1 }, 'timeout'],
])('createApi(%j) is a TypeError that says what is wrong', (options, why) => {
  const make = (): unknown => Reflect.apply(createApi, undefined, [options])
  expect(make).toThrow(TypeError)
  expect(make).toThrow(why)
  expect(make).not.toThrow(/a.secret/s)
})

test.each(['secret-key\n', 'secret-key\r\n'])(
  'a key %j that was read from a file is used without its line break',
  async (key) => {
    const sent: (string | null)[] = []
    const send: typeof fetch = (_, { headers } = {}) => {
      sent.push(new Headers(headers).get('Authorization'))
      return Promise.resolve(json({ count: 1 }))
    }
    await createApi({ url: 'https://tier.test', key, fetch: send }).countPeers()
    expect(sent).toEqual(['Bearer secret-key'])
  },
)

test.each([
  ['https://tier.test', 'https://tier.test/v1/peers/count'],
  ['https://tier.test/', 'https://tier.test/v1/peers/count'],
  ['https://tier.test/v1', 'https://tier.test/v1/peers/count'],
  ['https://tier.test/v1/', 'https://tier.test/v1/peers/count'],
  ['https://tier.test/below/v1', 'https://tier.test/below/v1/peers/count'],
  ['https://tier.test/v1/v1', 'https://tier.test/v1/v1/peers/count'],
  ['https://tier.test/v12', 'https://tier.test/v12/v1/peers/count'],
])('with the url %s a request goes to %s', async (url, expected) => {
  const sent: string[] = []
  const send: typeof fetch = (to) => {
    sent.push(to instanceof URL ? to.href : '')
    return Promise.resolve(json({ count: 1 }))
  }
  await createApi({ url, key: 'k', fetch: send }).countPeers()
  expect(sent).toEqual([expected])
})

const cyclic: Record<string, unknown> = {}
cyclic['self'] = cyclic

describe('a wrong argument is a TypeError at once, and nothing is sent', () => {
  const wrong: [string, unknown[], string][] = [
    ['sendToPeer', ['..', 1], 'name ".." cannot be written in a URL; `sendToPeers` can'],
    ['sendToRoom', ['..', 1], 'room ".." cannot be written in a URL'],
    ['listMembers', ['.'], 'room "." cannot be written in a URL'],
    ['sendToPeer', ['', 1], 'name must be a string'],
    ['sendToPeer', ['\uD800', 1], 'name must be a string of well-formed Unicode'],
    ['sendToPeer', ['a', undefined], 'it is undefined'],
    ['sendToPeer', ['a', Number.NaN], 'it is NaN'],
    ['sendToPeer', ['a', new Map()], 'it is an object (Map)'],
    ['sendToPeer', ['a', { n: 1n }], 'cannot be sent as JSON'],
    ['sendToPeers', [['a'], cyclic], 'cannot be sent as JSON'],
    ['sendToPeer', ['a', 1, { timeout: 5 }], 'did you mean "timeoutMs"?'],
    ['sendToPeer', ['a', 1, 5_000], 'options must be a plain object; it is 5000'],
    ['sendToPeers', [['a'], 1, { timeout: 5 }], 'did you mean "timeoutMs"?'],
    ['broadcast', [1, { timeoutMs: 5 }], 'there is no option "timeoutMs"'],
    ['sendToRoom', ['a', 1, { key: 'a' }], 'there is no option "key"'],
    ['listPeers', [{ limits: 5 }], 'did you mean "limit"?'],
    ['listPeers', [{ state: 'offline' }], 'state must be one of "online", "away"'],
    ['countPeers', [{ state: 'online' }], 'there is no option "state"'],
    ['getPeer', [''], 'name must be a string'],
    ['getPeer', ['a', { signal: 1 }], 'signal must be an AbortSignal'],
    ['listMembers', ['a', { state: 'online' }], 'there is no option "state"'],
    ['disconnectPeer', ['a', { ban: 5 }], 'did you mean "banMs"?'],
    ['disconnectIdentity', ['a', { code: '4900' }], 'code must be a whole number'],
    ['listBans', [{ limit: '5' }], 'limit must be a whole number'],
    ['liftBan', ['name', ''], 'value must be a string'],
    ['mintToken', [{ sub: 'a', ttl: 5 }], 'did you mean "ttlMs"?'],
    ['mintToken', [{ sub: 'a', peerage: { limits: { messagesPerSecond: 1n } } }], 'BigInt'],
    ['mintToken', [], 'options must be a plain object; it is undefined'],
    ['revokeTokens', [{ id: 'a' }], 'there is no option "id"'],
    ['revokeTokens', [{ sub: 'a', before: new Date() }], 'before must be a number of milliseconds'],
    ['listNodes', [{ limit: 1 }], 'there is no option "limit"'],
    ['listServers', [{ state: 'up' }], 'there is no option "state"'],
    ['getServer', ['..'], 'cannot be written in a URL'],
    ['putServer', [{ id: 'a', url: 'x' }], 'there is no option "url"'],
    ['removeServer', [7], 'id must be a string'],
    ['registerServer', [{ id: 'a', address: 'x', onerror: () => {} }], 'did you mean "onError"?'],
  ]
  test.each(wrong)('%s(%o): %s', async (method, args, why) => {
    const { api, sent } = answering(json({}))
    const call = async (): Promise<unknown> => Reflect.apply(Reflect.get(api, method), api, args)
    const error: unknown = await call().catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(TypeError)
    expect(String(error)).toContain(why)
    expect(sent).toEqual([])
  })

  test('allPeers rejects at its first page', async () => {
    const { api, sent } = answering(json({}))
    const options: object = { limit: 5 }
    const next = api.allPeers(options).next()
    await expect(next).rejects.toThrow('there is no option "limit"')
    expect(sent).toEqual([])
  })

  test('a change of a registration, too', async () => {
    const { api } = answering(
      json({ id: 'a', address: 'x', status: 'up', ttlMs: 30_000 }),
      new Response(null, { status: 204 }),
    )
    const registration = await api.registerServer({ id: 'a', address: 'x' })
    const change: object = { state: 'busy' }
    await expect(registration.update(change)).rejects.toThrow('did you mean "status"?')
    await registration.stop()
  })
})
