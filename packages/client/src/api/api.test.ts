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
    ['a page', new Response('<html>', { status: 404 })],
    ['other JSON', json({ error: 'not found' }, 404)],
  ])('[API41] %s that is no answer of a node is an error that says so', async (_, answer) => {
    const { api } = answering(answer)
    await expect(api.getPeer('a')).rejects.toMatchObject({ code: 'not-an-api', status: 404 })
  })

  test('[API42] a registration is renewed every 10 s, also after a failure, until it stops', async () => {
    const errors: unknown[] = []
    const { api, sent } = answering(
      json({ id: 'a', address: 'x', status: 'up', ttlMs: 30_000 }),
      problem(409, 'too-many'),
      json({ id: 'a', address: 'x', status: 'up', ttlMs: 30_000 }),
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
  [{ url: 'http://a', key: '' }, 'must be a key'],
  [{ url: 'http://a', key: 'a secret' }, 'must be a key'],
  [{ url: 'http://a' }, 'key'],
  [{ url: 'http://a', key: 'k', timeout: 1 }, 'timeout'],
])('createApi(%j) is a TypeError that says what is wrong', (options, why) => {
  const make = (): unknown => Reflect.apply(createApi, undefined, [options])
  expect(make).toThrow(TypeError)
  expect(make).toThrow(why)
  expect(make).not.toThrow('a secret')
})

test('names that no URL can have, and data that JSON cannot have, are a TypeError', async () => {
  const { api, sent } = answering(json({}))
  await expect(api.sendToPeer('..', 1)).rejects.toThrow('cannot be written in a URL')
  await expect(api.sendToPeer('a', undefined)).rejects.toThrow('it is undefined')
  expect(sent).toEqual([])
})
