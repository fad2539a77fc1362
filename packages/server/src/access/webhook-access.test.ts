import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { asked, chat } from '../testing/tokens.js'
import { json, webServer, type WebServer } from '../testing/web-server.js'
import type { WebhookSettings } from './app-access.js'
import { createOutbound, type OutboundOptions } from './outbound.js'
import { webhookAccess } from './webhook-access.js'

let server: WebServer
beforeEach(async () => {
  server = await webServer(json({ allow: true }))
})

function webhookTest(settings: Partial<WebhookSettings> = {}, options: Partial<OutboundOptions> = {}) {
  const clock = new FakeClock()
  const errors: string[] = []
  const whole: WebhookSettings = {
    url: server.url,
    timeoutMs: 1_500,
    headers: [],
    secret: null,
    allowPrivate: true,
    whenUnreachable: 'refuse',
    ...settings,
  }
  const outbound = createOutbound({ clock, ...options })
  const access = webhookAccess(chat, whole, {
    clock,
    outbound,
    onError: (error) => void errors.push(String(error)),
  })
  onTestFinished(() => {
    access.stop()
    outbound.stop()
  })
  return { access, clock, errors, admit: (more = {}) => access.admit(asked(more)) }
}

const unavailable = { ok: false, code: 'access-unavailable', retryAfterMs: expect.any(Number) }
const raw =
  (body: string, status = 200) =>
  (_: unknown, response: { writeHead(status: number): { end(body: string): void } }) =>
    response.writeHead(status).end(body)

describe('the request', () => {
  const seen: { headers: IncomingHttpHeaders; body: unknown; method: string | undefined }[] = []
  beforeEach(() => {
    seen.length = 0
    server.answer = (request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        seen.push({ headers: request.headers, body: JSON.parse(body), method: request.method })
        response.end('{"allow":true}')
      })
    }
  })

  test('says who asks, and has only the listed headers', async () => {
    const { admit } = webhookTest({ headers: ['x-tenant', 'x-absent'], secret: 'hook-secret' })
    const headers = { 'x-tenant': 'a', cookie: 'session=1', authorization: 'Basic x', host: 'h' }
    expect(await admit({ token: 'my token', origin: 'https://chat.example', headers })).toEqual({
      ok: true,
      app: 'chat',
    })
    expect(seen).toEqual([
      {
        method: 'POST',
        headers: expect.objectContaining({
          authorization: 'Bearer hook-secret',
          'content-type': 'application/json',
        }),
        body: {
          app: 'chat',
          name: 'alice',
          wire: 'native',
          address: '192.0.2.1',
          origin: 'https://chat.example',
          token: 'my token',
          headers: { 'x-tenant': 'a' },
        },
      },
    ])
    expect(seen[0]?.headers).not.toHaveProperty('cookie')
  })

  test('has a cookie only if it is listed', async () => {
    await webhookTest({ headers: ['cookie'] }).admit({ headers: { cookie: 'session=1' } })
    expect(seen[0]?.body).toMatchObject({ headers: { cookie: 'session=1' } })
  })

  test('has no name for a peer that asked for none, and says if the list of ids is asked for', async () => {
    const { access, admit } = webhookTest()
    await admit({ isNameMade: true })
    expect(seen[0]?.body).toEqual({ app: 'chat', wire: 'native', address: '192.0.2.1', headers: {} })
    const { name: _, ...request } = asked()
    await access.admit(request)
    expect(seen[1]?.body).toEqual({
      app: 'chat',
      lists: true,
      wire: 'native',
      address: '192.0.2.1',
      headers: {},
    })
  })

  test('is not sent for a token of more than 8,192 characters', async () => {
    const { admit } = webhookTest()
    expect(await admit({ token: 'x'.repeat(8_193) })).toMatchObject({ ok: false, code: 'bad-token' })
    expect(seen).toEqual([])
  })
})

describe('the answer', () => {
  test('can say who the peer is, what it may do, and for how long', async () => {
    const grants = {
      rooms: { names: ['lobby'] },
      to: { prefixes: ['bot-'] },
      limits: { bytesPerSecond: 9 },
      discovery: true,
    }
    server.answer = json({ allow: true, identity: 'user-1', grants, endsInMs: 60_000 })
    const { admit, clock } = webhookTest()
    expect(await admit()).toEqual({
      ok: true,
      app: 'chat',
      identity: 'user-1',
      ...grants,
      endsAt: clock.now() + 60_000,
    })
  })

  test('can give a name to a peer that asked for none, and no other to one that asked', async () => {
    server.answer = json({ allow: true, name: 'bob' })
    const { admit } = webhookTest()
    expect(await admit({ isNameMade: true })).toMatchObject({ ok: true, name: 'bob' })
    expect(await admit({ name: 'bob' })).toMatchObject({ ok: true })
    expect(await admit({ name: 'alice' })).toMatchObject({ ok: false, code: 'forbidden' })
  })

  test('can refuse, with a reason for the developer', async () => {
    server.answer = json({ allow: false, detail: 'sign in first' })
    expect(await webhookTest().admit()).toEqual({
      ok: false,
      code: 'forbidden',
      detail: 'sign in first',
      isForeignText: true,
    })
    server.answer = json({ allow: false })
    expect(await webhookTest().admit()).toMatchObject({ ok: false, code: 'forbidden' })
  })

  test.each([
    '',
    'yes',
    'true',
    'null',
    '[]',
    '{}',
    '{"allow":"true"}',
    '{"allow":1}',
    '{"allow":true,"identity":""}',
    '{"allow":true,"identity":1}',
    '{"allow":true,"name":""}',
    '{"allow":true,"room":{}}',
    '{"allow":true,"grants":{"room":{}}}',
    '{"allow":true,"grants":{"claim":{}}}',
    '{"allow":true,"grants":[]}',
    '{"allow":true,"endsInMs":0}',
    '{"allow":true,"cacheMs":3600001}',
    '{"allow":true,"cacheMs":-1}',
    '{"allow":true,"detail":"x"}',
    '{"allow":false,"detail":1}',
    '<!doctype html>',
    '['.repeat(30_000),
  ])('%s lets nobody in', async (body) => {
    server.answer = raw(body)
    for (const whenUnreachable of ['refuse', 'allow'] as const) {
      const { admit, errors } = webhookTest({ whenUnreachable })
      expect(await admit()).toMatchObject(unavailable)
      expect(errors).toEqual([expect.stringContaining('answered with')])
    }
  })

  test.each([201, 204, 400, 401, 403, 404, 413, 500])(
    'with status %s lets nobody in, also where an outage would',
    async (status) => {
      server.answer = json({ allow: true }, status)
      for (const whenUnreachable of ['refuse', 'allow'] as const)
        expect(await webhookTest({ whenUnreachable }).admit()).toMatchObject(unavailable)
    },
  )

  test('with an unknown key: the log names the key, and the peer learns that the answer was not valid', async () => {
    server.answer = json({ allow: true, names: ['a'] })
    const { admit, errors } = webhookTest()
    expect(await admit()).toMatchObject({
      detail: 'the access webhook of this app gave no valid answer; the log of the node says why',
    })
    expect(errors).toEqual([
      expect.stringContaining('whose top level has an unknown key "names"; docs/access.md'),
    ])
  })

  test('may have 64 KiB, and not one byte more', async () => {
    const padded = (bytes: number): string => `{"allow":true}${' '.repeat(bytes - 14)}`
    server.answer = raw(padded(65_536))
    expect(await webhookTest().admit()).toMatchObject({ ok: true })
    server.answer = raw(padded(65_537))
    expect(await webhookTest({ whenUnreachable: 'allow' }).admit()).toMatchObject(unavailable)
  })
})

describe('an outage', () => {
  const outages: [string, () => Promise<void> | void][] = [
    ['nobody listens', () => server.close()],
    ['the connection breaks', () => void (server.answer = (request) => void request.socket.destroy())],
    ...[502, 503, 504].map((status): [string, () => void] => [
      `a proxy answers ${status}`,
      () => void (server.answer = raw('', status)),
    ]),
  ]
  test.each(outages)('%s: peers are refused for now, or let in if the operator says so', async (_, fail) => {
    await fail()
    const closed = webhookTest()
    expect(await closed.admit()).toMatchObject(unavailable)
    expect(await closed.admit()).toMatchObject(unavailable)
    expect(closed.errors).toEqual([
      expect.stringMatching(/^Error: app chat: the access webhook at .*; peers are refused meanwhile$/),
    ])
    const open = webhookTest({ whenUnreachable: 'allow' })
    expect(await open.admit()).toEqual({ ok: true, app: 'chat' })
    expect(open.errors).toEqual([expect.stringContaining('peers are let in meanwhile')])
    // Else an access that ends would be replaced by one that does not.
    expect(await open.admit({ isRenewal: true })).toMatchObject(unavailable)
  })

  test.each<[string, RequestListener]>([
    ['before its answer', () => {}],
    ['within its answer', (_, response) => void response.write('{"allow":')],
  ])('a webhook that hangs %s is given 1.5 s for everything', async (_, hang) => {
    server.answer = hang
    const { admit, clock } = webhookTest()
    const decision = admit()
    await vi.waitFor(() => expect(server.count).toBe(1))
    await clock.advance(1_499)
    expect(await Promise.race([decision, Promise.resolve('waits')])).toBe('waits')
    await clock.advance(1)
    expect(await decision).toMatchObject(unavailable)
    expect(clock.pending).toBe(0)
  })

  test('a redirect is not followed', async () => {
    const other = await webServer(json({ allow: true }))
    server.answer = (_, response) => void response.writeHead(307, { location: other.url }).end()
    expect(await webhookTest({ whenUnreachable: 'allow' }).admit()).toMatchObject(unavailable)
    expect(other.count).toBe(0)
  })

  test('a name that leads to a private address is refused, also where an outage lets in', async () => {
    const { admit, errors } = webhookTest(
      { url: `http://hook.example:${server.port}/`, allowPrivate: false, whenUnreachable: 'allow' },
      { lookup: async () => [{ address: '127.0.0.1', family: 4 }] },
    )
    expect(await admit()).toMatchObject(unavailable)
    expect(errors).toEqual([expect.stringContaining('leads to 127.0.0.1, which is not a public address')])
    expect(server.count).toBe(0)
  })

  test('300 peers at once: 256 are asked about, the others are told to come back, also where an outage lets in', async () => {
    const waiting: (() => void)[] = []
    server.answer = (request, response) => void waiting.push(() => json({ allow: true })(request, response))
    const { admit } = webhookTest({ whenUnreachable: 'allow' })
    const decisions = Array.from({ length: 300 }, (_, i) => admit({ name: `n${i}` }))
    await vi.waitFor(() => expect(waiting).toHaveLength(256))
    for (const answer of waiting) answer()
    const all = await Promise.all(decisions)
    expect(all.filter(({ ok }) => ok)).toHaveLength(256)
    expect(all.filter((decision) => !decision.ok && decision.code === 'access-unavailable')).toHaveLength(44)
    server.answer = json({ allow: true })
    expect(await admit()).toMatchObject({ ok: true })
  })

  test('stop ends a call, and reports nothing', async () => {
    server.answer = () => {}
    const { access, admit, errors } = webhookTest()
    const decision = admit()
    await vi.waitFor(() => expect(server.count).toBe(1))
    access.stop()
    expect(await decision).toMatchObject(unavailable)
    expect(errors).toEqual([])
  })
})

describe('the cache', () => {
  test('keeps an answer as long as it says, for equal requests', async () => {
    server.answer = json({ allow: true, identity: 'a', cacheMs: 10_000 })
    const { admit, clock } = webhookTest({ headers: ['x-tenant'] })
    for (let i = 0; i < 3; i++) expect(await admit()).toMatchObject({ ok: true })
    expect(server.count).toBe(1)
    for (const other of [
      { name: 'bob' },
      { token: 't' },
      { address: '192.0.2.2' },
      { origin: 'https://x.example' },
      { headers: { 'x-tenant': 'b' } },
    ])
      await admit(other)
    expect(server.count).toBe(6)
    await admit({ headers: { 'x-other': 'b' } })
    expect(server.count).toBe(6)
    await clock.advance(10_000)
    await admit()
    expect(server.count).toBe(7)
  })

  test('keeps a refusal too, if the answer says so', async () => {
    server.answer = json({ allow: false, cacheMs: 10_000 })
    const { admit } = webhookTest()
    for (let i = 0; i < 3; i++) expect(await admit()).toMatchObject({ ok: false, code: 'forbidden' })
    expect(server.count).toBe(1)
  })

  test('keeps nothing unless the answer says so, and no failure', async () => {
    const { admit } = webhookTest()
    await admit()
    await admit()
    expect(server.count).toBe(2)
    server.answer = raw('', 503)
    await admit()
    await admit()
    expect(server.count).toBe(4)
  })

  test('does not make access last longer', async () => {
    server.answer = json({ allow: true, endsInMs: 5_000, cacheMs: 60_000 })
    const { admit, clock } = webhookTest()
    const endsAt = clock.now() + 5_000
    await admit()
    await clock.advance(4_999)
    expect(await admit()).toMatchObject({ ok: true, endsAt })
    expect(server.count).toBe(1)
    await clock.advance(1)
    expect(await admit()).toMatchObject({ ok: true, endsAt: endsAt + 5_000 })
    expect(server.count).toBe(2)
  })
})
