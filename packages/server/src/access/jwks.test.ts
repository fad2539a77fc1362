import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { settled } from '@peerage/test-support/fake-clock.js'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { claimsOfAlice, pairs, sign, tokenTest, type TokenTest } from '../testing/tokens.js'
import { json, webServer, type WebServer } from '../testing/web-server.js'
import type { Algorithm } from './app-access.js'
import { readKeySet } from './jwks.js'

type Signer = 'RS256' | 'PS256' | 'ES256' | 'EdDSA'
const jwk = (key: KeyObject, more: object = {}): object => ({ ...key.export({ format: 'jwk' }), ...more })
const key = (algorithm: Signer, kid: string, more: object = {}): object =>
  jwk(pairs[algorithm].publicKey, { kid, ...more })
const ecPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

let server: WebServer
beforeEach(async () => {
  server = await webServer(json({ keys: [key('ES256', 'one')] }))
})

interface JwksTest extends TokenTest {
  /** Admits alice with a token that was signed by a key. */
  with(kid: string | undefined, algorithm?: Signer, signer?: KeyObject): ReturnType<TokenTest['admit']>
}

function jwksTest(algorithms: Algorithm[] = ['ES256'], url = server.url, allowPrivate = true): JwksTest {
  const test = tokenTest({ algorithms, keys: { type: 'jwks', url, allowPrivate } })
  onTestFinished(() => test.access.stop())
  return {
    ...test,
    with: async (kid, algorithm = 'ES256', signer = pairs[algorithm].privateKey) =>
      test.admit(
        await sign(claimsOfAlice(test.clock.now()), {
          algorithm,
          key: signer,
          header: kid === undefined ? {} : { kid },
        }),
      ),
  }
}

const ok = { ok: true, identity: 'alice' }
const bad = { ok: false, code: 'bad-token' }
const unreachable = { ok: false, code: 'access-unavailable', retryAfterMs: expect.any(Number) }

describe('keys', () => {
  test.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)(
    '%s is taken when the app names it, and refused otherwise [ASVS 9.1.2]',
    async (algorithm) => {
      server.answer = json({ keys: [key(algorithm, 'one')] })
      expect(await jwksTest([algorithm]).with('one', algorithm)).toMatchObject(ok)
      const others = (['RS256', 'PS256', 'ES256', 'EdDSA'] as const).filter((other) => other !== algorithm)
      expect(await jwksTest([...others]).with('one', algorithm)).toMatchObject(bad)
    },
  )

  test('a token without kid is tried with every key that fits, at most 16', async () => {
    const mine = ecPair()
    const strangers = Array.from({ length: 16 }, (_, i) => jwk(ecPair().publicKey, { kid: `k${i}` }))
    const last = jwk(mine.publicKey, { kid: 'mine' })
    server.answer = json({ keys: [...strangers.slice(1), key('RS256', 'rsa'), last] })
    expect(await jwksTest().with(undefined, 'ES256', mine.privateKey)).toMatchObject(ok)
    server.answer = json({ keys: [...strangers, last] })
    expect(await jwksTest().with(undefined, 'ES256', mine.privateKey)).toMatchObject(bad)
    expect(await jwksTest().with('mine', 'ES256', mine.privateKey)).toMatchObject(ok)
  })

  test('of keys with the same kid all are tried', async () => {
    server.answer = json({
      keys: [jwk(ecPair().publicKey, { kid: 'one' }), key('RS256', 'one'), key('ES256', 'one')],
    })
    expect(await jwksTest().with('one')).toMatchObject(ok)
    expect(await jwksTest().with('one', 'ES256', ecPair().privateKey)).toMatchObject(bad)
  })

  test('a broken key beside a good one does no harm', async () => {
    const { x } = pairs.ES256.publicKey.export({ format: 'jwk' })
    const offCurve = { kty: 'EC', crv: 'P-256', x, y: x, kid: 'one' }
    server.answer = json({ keys: [offCurve, key('ES256', 'one')] })
    expect(await jwksTest().with('one')).toMatchObject(ok)
  })

  test.each([
    ['a secret', { kty: 'oct', k: 'c2VjcmV0', kid: 'one' }],
    ['a key for encryption', key('ES256', 'one', { use: 'enc' })],
    ['a key that may only sign', key('ES256', 'one', { key_ops: ['sign'] })],
    ['a key of another algorithm', key('ES256', 'one', { alg: 'ES384' })],
    [
      'a key of another curve',
      jwk(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey, { kid: 'one' }),
    ],
    ['a key of a curve for key agreement', jwk(generateKeyPairSync('x25519').publicKey, { kid: 'one' })],
    ['a private key', jwk(pairs.ES256.privateKey, { kid: 'one' })],
    [
      'an RSA key of 1,024 bits',
      jwk(generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey, { kid: 'one' }),
    ],
    [
      'an RSA key of 8,200 bits',
      { kty: 'RSA', n: Buffer.alloc(1_025, 255).toString('base64url'), e: 'AQAB', kid: 'one' },
    ],
    [
      'an RSA key with a huge exponent',
      key('RS256', 'one', { e: Buffer.alloc(255, 255).toString('base64url') }),
    ],
    ['an RSA key with an exponent of 5 bytes', key('RS256', 'one', { e: 'AQAAAAE' })],
    ['an RSA key with the exponent 1', key('RS256', 'one', { e: 'AQ' })],
    ['a key with a kid that is a number', { ...key('ES256', 'one'), kid: 1 }],
    ['a key with a member of a wrong type', { ...key('ES256', 'one'), x: 1 }],
    ['a text', 'one'],
    ['nothing', null],
    ['a list', []],
  ])('%s is left out', async (_, left) => {
    const read = readKeySet(JSON.stringify({ keys: [left, key('EdDSA', 'two')] }))
    expect(read).toMatchObject({ ok: true, keys: [{ kid: 'two' }] })
    expect(readKeySet(JSON.stringify({ keys: [left] }))).toMatchObject({ ok: false })
  })

  test('RSA keys of 2,048 and 8,192 bits are used', () => {
    for (const bytes of [256, 1_024]) {
      const n = Buffer.alloc(bytes, 255).toString('base64url')
      expect(readKeySet(JSON.stringify({ keys: [{ kty: 'RSA', n, e: 'AQAB' }] }))).toMatchObject({
        ok: true,
        keys: [{ algorithms: ['RS256', 'PS256'] }],
      })
    }
  })

  test('HS256 is never taken with keys of a JWKS', async () => {
    server.answer = json({
      keys: [
        { kty: 'oct', k: Buffer.from('x'.repeat(32)).toString('base64url'), kid: 'one' },
        key('ES256', 'two'),
      ],
    })
    const { admit, clock } = jwksTest(['ES256', 'HS256'])
    const token = await sign(claimsOfAlice(clock.now()), {
      key: Buffer.from('x'.repeat(32)),
      header: { kid: 'one' },
    })
    expect(await admit(token)).toMatchObject(bad)
  })

  test.each(['../../etc/passwd', 'https://evil.example/keys', '%00', 'x'.repeat(256), '__proto__', ''])(
    'the unknown kid %j leads nowhere [ASVS 9.1.3]',
    async (kid) => {
      const seen: (string | undefined)[] = []
      server.answer = (request, response) => {
        seen.push(request.url)
        json({ keys: [key('ES256', 'one')] })(request, response)
      }
      const test = jwksTest()
      expect(await test.with('one')).toMatchObject(ok)
      expect(await test.with(kid)).toMatchObject({ ...bad, detail: expect.stringContaining('unknown kid') })
      expect(new Set(seen)).toEqual(new Set(['/']))
    },
  )
})

describe('fetching', () => {
  test('nothing is fetched before the first token, and tokens at once share one fetch', async () => {
    const test = jwksTest()
    await settled()
    expect(server.count).toBe(0)
    const decisions = await Promise.all(Array.from({ length: 100 }, () => test.with('one')))
    expect(decisions.every(({ ok }) => ok)).toBe(true)
    expect(server.count).toBe(1)
  })

  test('a malformed token, or one with a wrong algorithm, causes no fetch', async () => {
    const test = jwksTest()
    await test.admit('garbage')
    await test.with('one', 'RS256')
    expect(server.count).toBe(0)
  })

  test('a new key is found at once, and unknown ids cause at most one fetch in 30 s', async () => {
    const test = jwksTest()
    expect(await test.with('one')).toMatchObject(ok)
    const next = ecPair()
    server.answer = json({ keys: [key('ES256', 'one'), jwk(next.publicKey, { kid: 'two' })] })
    await test.clock.advance(30_000)
    expect(
      await Promise.all(Array.from({ length: 50 }, () => test.with('two', 'ES256', next.privateKey))),
    ).toEqual(Array.from({ length: 50 }, () => expect.objectContaining(ok)))
    expect(server.count).toBe(2)
    for (let i = 0; i < 20; i++) expect(await test.with(`invented-${i}`)).toMatchObject(bad)
    expect(server.count).toBe(2)
    await test.clock.advance(29_999)
    await test.with('invented')
    expect(server.count).toBe(2)
    await test.clock.advance(1)
    await test.with('invented')
    expect(server.count).toBe(3)
  })

  test('a key that left the set is refused after 10 minutes, without a wait for anybody', async () => {
    const test = jwksTest()
    const next = ecPair()
    expect(await test.with('one')).toMatchObject(ok)
    server.answer = json({ keys: [jwk(next.publicKey, { kid: 'two' })] })
    await test.clock.advance(600_001)
    expect(await test.with('one')).toMatchObject(ok)
    await vi.waitFor(async () => expect(await test.with('one')).toMatchObject(bad))
    expect(await test.with('two', 'ES256', next.privateKey)).toMatchObject(ok)
    expect(server.count).toBe(2)
  })

  test('a server that fails after it worked: the old keys stay, and the failure is reported once', async () => {
    const test = jwksTest()
    expect(await test.with('one')).toMatchObject(ok)
    server.answer = json({}, 500)
    for (let hour = 0; hour < 24; hour++) {
      await test.clock.advance(3_600_000)
      expect(await test.with('one')).toMatchObject(ok)
      await vi.waitFor(() => expect(server.count).toBe(hour + 2))
      await vi.waitFor(() => expect(test.clock.pending).toBe(0))
    }
    await vi.waitFor(() => expect(test.errors).toHaveLength(1))
    expect(test.errors[0]).toBe(
      `Error: app chat: the JWKS at ${server.url} answered with status 500; it is tried again, and the old keys stay in use`,
    )
    // An unknown kid may be of a new key.
    await test.clock.advance(30_000)
    expect(await test.with('two')).toMatchObject(unreachable)
    // It is reported again when it fails again after it has worked.
    server.answer = json({ keys: [key('ES256', 'one')] })
    await test.clock.advance(30_000)
    expect(await test.with('two')).toMatchObject(bad)
    server.answer = json({}, 500)
    await test.clock.advance(30_000)
    expect(await test.with('two')).toMatchObject(unreachable)
    expect(test.errors).toHaveLength(2)
  })

  test('a server that is unreachable at the start: a temporary refusal, and one attempt in 2 s', async () => {
    await server.close()
    const test = jwksTest()
    expect(await test.with('one')).toMatchObject({ ...unreachable, retryAfterMs: 2_000 })
    expect(await test.with('one')).toMatchObject(unreachable)
    expect(test.errors).toEqual([expect.stringContaining('nobody can come in until then')])
    const back = await webServer(json({ keys: [key('ES256', 'one')] }), server.port)
    expect(await test.with('one')).toMatchObject(unreachable)
    expect(back.count).toBe(0)
    await test.clock.advance(2_000)
    expect(await test.with('one')).toMatchObject(ok)
  })

  test('a server that hangs: tokens wait 5 s together', async () => {
    server.answer = () => {}
    const test = jwksTest()
    const decisions = [test.with('one'), test.with('one')]
    await vi.waitFor(() => expect(server.count).toBe(1))
    await test.clock.advance(5_000)
    for (const decision of await Promise.all(decisions)) expect(decision).toMatchObject(unreachable)
    expect(test.errors).toEqual([expect.stringContaining('did not answer within 5000 ms')])
    expect(test.clock.pending).toBe(0)
  })

  test('a server that sends one byte after the other does not get more time', async () => {
    server.answer = (_, response) => {
      response.write('{"keys":[')
    }
    const test = jwksTest()
    const decision = test.with('one')
    await vi.waitFor(() => expect(server.count).toBe(1))
    await test.clock.advance(5_000)
    expect(await decision).toMatchObject(unreachable)
  })

  test.each([
    [
      'a redirect to a set',
      (port: number) => ({ status: 302, headers: { location: `http://127.0.0.1:${port}/` }, body: '' }),
      'redirect',
    ],
    [
      'HTML',
      () => ({
        status: 200,
        headers: { 'content-type': 'text/html' },
        body: '<!doctype html><h1>Sign in</h1>',
      }),
      'not JSON',
    ],
    ['no JSON Web Key Set', () => ({ status: 200, headers: {}, body: '{"error":"x"}' }), 'no list of keys'],
    [
      'keys of a wrong type',
      () => ({ status: 200, headers: {}, body: '{"keys":{"0":{}}}' }),
      'no list of keys',
    ],
    ['a list', () => ({ status: 200, headers: {}, body: '[]' }), 'no list of keys'],
    ['null', () => ({ status: 200, headers: {}, body: 'null' }), 'no list of keys'],
    ['nothing', () => ({ status: 204, headers: {}, body: '' }), 'status 204'],
    ['not found', () => ({ status: 404, headers: {}, body: '' }), 'status 404'],
    [
      '257 KiB',
      () => ({ status: 200, headers: {}, body: ' '.repeat(257 * 1_024) }),
      'more than 262144 bytes',
    ],
    [
      '10,000 keys',
      () => ({
        status: 200,
        headers: {},
        body: JSON.stringify({ keys: Array.from({ length: 10_000 }, () => ({ kty: 'EC' })) }),
      }),
      'has 10000 keys, and at most 100 are allowed',
    ],
    ['deep JSON', () => ({ status: 200, headers: {}, body: '['.repeat(200_000) }), 'not JSON'],
  ])('an answer with %s is a failure', async (_, answer, problem) => {
    const { status, headers, body } = answer(server.port)
    server.answer = (_, response) => void response.writeHead(status, headers).end(body)
    const test = jwksTest()
    expect(await test.with('one')).toMatchObject(unreachable)
    expect(test.errors).toEqual([expect.stringContaining(problem)])
    // The same answer does not replace good keys.
    server.answer = json({ keys: [key('ES256', 'one')] })
    await test.clock.advance(2_000)
    expect(await test.with('one')).toMatchObject(ok)
    server.answer = (_, response) => void response.writeHead(status, headers).end(body)
    await test.clock.advance(30_000)
    await test.with('other')
    expect(await test.with('one')).toMatchObject(ok)
  })

  test('the report has neither the password nor the query of the URL', async () => {
    server.answer = json({}, 500)
    const url = server.url.replace('http://', 'http://me:hush@')
    const test = jwksTest(['ES256'], `${url}keys?code=hush`)
    expect(await test.with('one')).toMatchObject(unreachable)
    expect(test.errors[0]).toContain(`${server.url}keys answered`)
    expect(test.errors[0]).not.toContain('hush')
  })

  test('a name that leads to a private address is refused, unless the operator allows it', async () => {
    const url = `http://keys.example:${server.port}/`
    const test = jwksTest(['ES256'], url, false)
    expect(await test.with('one')).toMatchObject(unreachable)
    expect(server.count).toBe(0)
    expect(await jwksTest(['ES256'], url, true).with('one')).toMatchObject(ok)
  })

  test('an empty set voids the former keys, and is reported once', async () => {
    const test = jwksTest()
    expect(await test.with('one')).toMatchObject(ok)
    server.answer = json({ keys: [] })
    await test.clock.advance(11 * 60_000)
    await test.with('one')
    await vi.waitFor(() => expect(server.count).toBe(2))
    await vi.waitFor(async () => expect(await test.with('one')).toMatchObject(bad))
    expect(test.errors).toEqual([expect.stringContaining('is empty; nobody can come in until it has a key')])
  })

  test('stop ends a fetch, and nothing is fetched after it', async () => {
    server.answer = () => {}
    const test = jwksTest()
    const decision = test.with('one')
    await vi.waitFor(() => expect(server.count).toBe(1))
    test.access.stop()
    expect(await decision).toMatchObject(unreachable)
    await test.clock.advance(60_000)
    expect(await test.with('one')).toMatchObject(unreachable)
    expect(server.count).toBe(1)
    expect(test.errors).toEqual([])
    expect(test.clock.pending).toBe(0)
  })
})
