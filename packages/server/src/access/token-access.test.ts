import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { asked, claimsOfAlice, keysFor, pairs, pemOf, SECRET, sign, tokenTest } from '../testing/tokens.js'
import { ALGORITHMS, type Algorithm } from './app-access.js'

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
/** A token that is signed with HMAC, whatever its header says. */
function forge(header: object, claims: object, secret: string): string {
  const signed = `${encode(header)}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

describe('algorithms', () => {
  test.each(ALGORITHMS)(
    '%s is taken by an app that names it, and by no other [ASVS 9.1.2]',
    async (algorithm) => {
      const { clock, admit } = tokenTest({ algorithms: [algorithm], keys: keysFor(algorithm) })
      const token = await sign(claimsOfAlice(clock.now()), { algorithm })
      expect(await admit(token)).toMatchObject({ ok: true, identity: 'alice' })
      for (const other of ALGORITHMS.filter((each) => each !== algorithm)) {
        const { admit } = tokenTest({ algorithms: [other], keys: keysFor(other) })
        expect(await admit(token)).toEqual({
          ok: false,
          code: 'bad-token',
          detail: `the token is signed with ${algorithm}, and this app takes ${other}`,
        })
      }
    },
  )

  test('RS256 and PS256 can be taken with one key', async () => {
    const { clock, admit } = tokenTest({ algorithms: ['RS256', 'PS256'], keys: keysFor('RS256') })
    for (const algorithm of ['RS256', 'PS256'] as const)
      expect(await admit(await sign(claimsOfAlice(clock.now()), { algorithm }))).toMatchObject({ ok: true })
  })

  test.each(['none', 'None', 'NONE', 'nOnE'])('a token with alg %s is refused [ASVS 9.1.2]', async (alg) => {
    const { clock, admit } = tokenTest()
    const parts = `${encode({ alg })}.${encode(claimsOfAlice(clock.now()))}`
    for (const token of [`${parts}.`, `${parts}.${encode('x')}`, parts])
      expect(await admit(token)).toMatchObject({ ok: false, code: 'bad-token' })
    expect(await admit(`${parts}.`)).toMatchObject({ detail: expect.stringContaining('not signed') })
  })

  test.each([
    ['RS256', ['RS256']],
    ['ES256', ['ES256']],
  ] as ['RS256' | 'ES256', Algorithm[]][])(
    'a token that is signed by HMAC with the public key of %s is refused [ASVS 9.1.2]',
    async (name, algorithms) => {
      const { clock, admit } = tokenTest({ algorithms, keys: keysFor(name) })
      const pem = pemOf(pairs[name].publicKey)
      for (const secret of [pem, pem.trim(), pem.replaceAll(/-----.*-----|\n/g, '')])
        for (const alg of ['HS256', name])
          expect(await admit(forge({ alg }, claimsOfAlice(clock.now()), secret))).toMatchObject({
            ok: false,
            code: 'bad-token',
          })
    },
  )

  test('an algorithm that nobody knows is not repeated in the answer', async () => {
    const { clock, admit } = tokenTest()
    const token = forge({ alg: 'a text of the peer' }, claimsOfAlice(clock.now()), SECRET)
    expect(await admit(token)).toEqual({
      ok: false,
      code: 'bad-token',
      detail: 'the token is signed with an unknown algorithm, and this app takes HS256',
    })
  })
})

describe('signatures', () => {
  test('a changed claim, header or signature is refused [ASVS 9.1.1]', async () => {
    const { clock, admit } = tokenTest()
    const claims = claimsOfAlice(clock.now())
    const [header, payload, signature] = (await sign(claims)).split('.')
    const wrong = "the token's signature is wrong: no key of this app has made it"
    for (const token of [
      `${header}.${encode({ ...claims, sub: 'bob' })}.${signature}`,
      `${encode({ alg: 'HS256', extra: 1 })}.${payload}.${signature}`,
      `${header}.${payload}.${Buffer.alloc(32).toString('base64url')}`,
      `${header}.${payload}.`,
    ])
      expect(await admit(token)).toEqual({ ok: false, code: 'bad-token', detail: wrong })
  })

  test('while a secret is replaced, tokens of both are taken, and of no third', async () => {
    const former = `${SECRET} before`
    const { clock, admit } = tokenTest({ keys: { type: 'secret', secret: SECRET, previousSecret: former } })
    const claims = claimsOfAlice(clock.now())
    expect(await admit(await sign(claims))).toMatchObject({ ok: true })
    expect(await admit(await sign(claims, { key: Buffer.from(former) }))).toMatchObject({ ok: true })
    expect(await admit(await sign(claims, { key: Buffer.from(`${SECRET}!`) }))).toMatchObject({
      ok: false,
      code: 'bad-token',
    })
  })

  test('spaces inside of a token are refused, though the decoder of jose passes over them', async () => {
    const { clock, admit } = tokenTest()
    const token = await sign(claimsOfAlice(clock.now()))
    for (const spaced of [`${token} `, ` ${token}`, token.replace(/\.(?=[^.]*$)/, '. '), `${token}\n`])
      expect(await admit(spaced)).toMatchObject({
        ok: false,
        detail: expect.stringContaining('is not a JWT'),
      })
  })
})

describe('headers', () => {
  test.each(['jku', 'x5u', 'jwk', 'x5c'])('%s of a token leads to no key [ASVS 9.1.3]', async (parameter) => {
    const stranger = tokenTest({ algorithms: ['ES256'], keys: keysFor('ES256') })
    const own = pairs.EdDSA
    const value =
      parameter === 'jwk'
        ? own.publicKey.export({ format: 'jwk' })
        : parameter === 'x5c'
          ? ['MIIB']
          : 'http://127.0.0.1:1/keys.json'
    const header = { [parameter]: value }
    const signed = await sign(claimsOfAlice(stranger.clock.now()), { algorithm: 'ES256', header })
    // The header itself does no harm if the token is signed by a key of the app.
    expect(await stranger.admit(signed)).toMatchObject({ ok: true })
    const forged = tokenTest({ algorithms: ['EdDSA'], keys: keysFor('EdDSA') })
    const [, payload, signature] = signed.split('.')
    expect(
      await forged.admit(`${encode({ alg: 'EdDSA', ...header })}.${payload}.${signature}`),
    ).toMatchObject({
      ok: false,
      code: 'bad-token',
    })
    expect(stranger.errors).toEqual([])
  })

  test.each<unknown>([['b64'], ['exp'], [], 'b64', null])('crit %j is refused', async (crit) => {
    const { clock, admit } = tokenTest()
    for (const b64 of [true, false, undefined])
      expect(
        await admit(forge({ alg: 'HS256', b64, crit }, claimsOfAlice(clock.now()), SECRET)),
      ).toMatchObject({
        ok: false,
        code: 'bad-token',
        detail: expect.stringContaining('crit'),
      })
  })

  test('a kid does not matter to keys of the configuration, but a huge one is refused', async () => {
    const { clock, admit } = tokenTest()
    const withKid = async (kid: string) => admit(await sign(claimsOfAlice(clock.now()), { header: { kid } }))
    for (const kid of ['', '../../etc/passwd', 'https://evil.example/key', "' OR 1=1", 'x'.repeat(256)])
      expect(await withKid(kid)).toMatchObject({ ok: true })
    expect(await withKid('x'.repeat(257))).toMatchObject({
      ok: false,
      detail: expect.stringContaining('kid is longer'),
    })
  })

  test('typ is checked where the app asks for it, so an ID token is no access token [ASVS 9.2.2]', async () => {
    const { clock, admit } = tokenTest({ typ: 'at+jwt' })
    const withTyp = async (header: object) =>
      admit(await sign(claimsOfAlice(clock.now()), { header: { ...header } }))
    for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt'])
      expect(await withTyp({ typ })).toMatchObject({ ok: true })
    for (const header of [{}, { typ: 'JWT' }, { typ: 'text/at+jwt' }])
      expect(await withTyp(header)).toMatchObject({
        ok: false,
        code: 'bad-token',
        detail: expect.stringContaining('at+jwt'),
      })
    expect(await withTyp({ typ: 1 })).toMatchObject({ ok: false, code: 'bad-token' })
  })

  test.each([
    undefined,
    '',
    'x',
    'a.b',
    'a.b.c.d',
    'a.b.c.d.e',
    '..',
    `${encode([])}.${encode({})}.x`,
    `${encode('HS256')}.${encode({})}.x`,
    `${encode({})}.${encode({})}.x`,
    `${encode({ alg: 1 })}.${encode({})}.x`,
    `${encode({ alg: 'HS256', kid: {} })}.${encode({})}.x`,
    `${Buffer.from([0xff, 0xfe]).toString('base64url')}.x.x`,
    'é.é.é',
    'x'.repeat(8_193),
    `${'a'.repeat(8_000)}.x.x`,
    `${Buffer.from('['.repeat(5_000)).toString('base64url')}.x.x`,
  ])('the malformed token %# is refused', async (token) => {
    expect(await tokenTest().admit(token)).toMatchObject({ ok: false, code: 'bad-token' })
  })

  test('a token of 8,192 characters is taken, and one more is refused', async () => {
    const { clock, admit } = tokenTest()
    const padded = async (length: number): Promise<string> => {
      const claims = claimsOfAlice(clock.now())
      let pad = ''
      let token = ''
      while (token.length < length) {
        token = await sign({ ...claims, pad })
        pad += 'x'.repeat(Math.max(1, Math.floor(((length - token.length) * 3) / 4)))
      }
      return token
    }
    const most = await padded(8_191)
    expect(await admit(most)).toMatchObject({ ok: most.length <= 8_192 })
    expect(await admit(await padded(8_193))).toEqual({
      ok: false,
      code: 'bad-token',
      detail: 'the token is longer than 8192 characters',
    })
  })
})

describe('times', () => {
  const at = async (claims: (seconds: number) => object, settings = {}) => {
    const test = tokenTest(settings)
    const now = test.clock.now() / 1_000
    return test.admit(await sign({ ...claimsOfAlice(test.clock.now()), ...claims(now) }))
  }

  test('exp may be up to 30 s ago [ASVS 9.2.1]', async () => {
    expect(await at((now) => ({ exp: now - 29.9 }))).toMatchObject({ ok: true })
    expect(await at((now) => ({ exp: now - 30 }))).toEqual({
      ok: false,
      code: 'token-expired',
      detail: 'the token has expired; get a new one',
    })
    expect(await at(() => ({ exp: 0 }))).toMatchObject({ ok: false, code: 'token-expired' })
  })

  test('the same token expires while the clock goes on [ASVS 9.2.1]', async () => {
    const { clock, admit } = tokenTest()
    const token = await sign(claimsOfAlice(clock.now()))
    clock.jump(1_829_999)
    expect(await admit(token)).toMatchObject({ ok: true })
    clock.jump(1)
    expect(await admit(token)).toMatchObject({ ok: false, code: 'token-expired' })
  })

  test.each(['nbf', 'iat'])('%s may be up to 30 s ahead [ASVS 9.2.1]', async (claim) => {
    expect(await at((now) => ({ [claim]: now + 30 }))).toMatchObject({ ok: true })
    expect(await at((now) => ({ [claim]: now + 30.1 }))).toMatchObject({
      ok: false,
      code: 'bad-token',
      detail: expect.stringContaining(claim),
    })
  })

  test('exp may be as far ahead as the app allows, and 30 s more', async () => {
    expect(await at((now) => ({ exp: now + 3_630 }))).toMatchObject({ ok: true })
    expect(await at((now) => ({ exp: now + 3_631 }))).toMatchObject({
      ok: false,
      code: 'bad-token',
      detail: "the token's exp is too far ahead: this app takes tokens that end within 3600 s",
    })
    expect(await at((now) => ({ exp: now + 86_400 }), { lifetimeMs: 86_400_000 })).toMatchObject({ ok: true })
  })

  test.each([null, '1', true, [], {}, 1e308])('exp %j is refused', async (exp) => {
    expect(await at(() => ({ exp }))).toMatchObject({ ok: false, code: 'bad-token' })
  })

  test('numbers that JSON reads as infinite are refused', async () => {
    const { admit } = tokenTest()
    const signed = `${encode({ alg: 'HS256' })}.${Buffer.from('{"sub":"alice","aud":"chat","exp":1e999}').toString('base64url')}`
    const token = `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
    expect(await admit(token)).toMatchObject({ ok: false, code: 'bad-token' })
  })
})

describe('claims', () => {
  const withClaims = async (claims: object, settings = {}, more = {}) => {
    const test = tokenTest(settings)
    return test.admit(await sign({ ...claimsOfAlice(test.clock.now()), ...claims }), more)
  }
  const refused = (detail: string) => ({ ok: false, code: 'bad-token', detail })

  test.each(['exp', 'sub', 'aud'])('a token without %s is refused', async (claim) => {
    expect(await withClaims({ [claim]: undefined })).toEqual(
      refused(`the token has no ${claim}; it needs exp, sub and aud`),
    )
  })

  test('aud must be the app, or have it among others [ASVS 9.2.3] [ASVS 9.2.4]', async () => {
    for (const aud of ['chat', ['chat'], ['games', 'chat']])
      expect(await withClaims({ aud })).toMatchObject({ ok: true })
    for (const aud of ['games', 'Chat', 'chat ', 'chat,games', [], ['games', 'billing']])
      expect(await withClaims({ aud })).toEqual(refused("the token's aud does not contain the app"))
    for (const aud of [1, null, {}, [1], [['chat']]])
      expect(await withClaims({ aud })).toMatchObject({ ok: false })
  })

  test('iss must be that of the app, if it has one', async () => {
    const issuer = 'https://id.example'
    expect(await withClaims({ iss: issuer }, { issuer })).toMatchObject({ ok: true })
    expect(await withClaims({ iss: `${issuer}/` }, { issuer })).toEqual(
      refused("the token's iss is not the issuer of this app"),
    )
    expect(await withClaims({}, { issuer })).toEqual(refused('the token has no iss, and this app needs one'))
    expect(await withClaims({ iss: 'https://other.example' })).toMatchObject({ ok: true })
  })

  test.each(['', 'x'.repeat(257), 1, null, ['alice'], '\ud800'])('sub %j is refused', async (sub) => {
    expect(await withClaims({ sub })).toMatchObject({ ok: false, code: 'bad-token' })
  })

  test('what a decision says comes from the token', async () => {
    const { clock, admit } = tokenTest()
    const now = clock.now() / 1_000
    const jkt = 'a'.repeat(43)
    const peerage = {
      rooms: { prefixes: ['team-'] },
      to: { names: ['bob'] },
      limits: { messagesPerSecond: 5 },
      discovery: false,
    }
    const claims = { ...claimsOfAlice(clock.now()), iat: now, jti: 'token-1', cnf: { jkt }, peerage }
    expect(await admit(await sign(claims))).toEqual({
      ok: true,
      app: 'chat',
      identity: 'alice',
      isOwnName: true,
      endsAt: (now + 1_800) * 1_000,
      toleranceMs: 30_000,
      issuedAt: now * 1_000,
      tokenId: 'token-1',
      keyThumbprint: jkt,
      ...peerage,
    })
  })

  test.each<unknown>([
    { unknown: 1 },
    { room: { names: [] } },
    { rooms: ['lobby'] },
    { rooms: { name: ['lobby'] } },
    { rooms: { names: 'lobby' } },
    { rooms: { names: [1] } },
    { to: { names: Array.from({ length: 101 }, (_, i) => `n${i}`) } },
    { to: { prefixes: ['x'.repeat(129)] } },
    { to: null },
    { limits: { messagesPerSecond: 0 } },
    { limits: { messagesPerSecond: 1.5 } },
    { limits: { messages: 1 } },
    { discovery: 'no' },
    { claim: {}, toString: 1 },
    [],
    'all',
    null,
  ])('the claim peerage %j is refused, and not read as less than it says', async (peerage) => {
    const refusal = await withClaims({ peerage })
    expect(refusal).toMatchObject({
      ok: false,
      code: 'bad-token',
      detail: expect.stringContaining('peerage'),
    })
  })

  test('an own key __proto__ in the claim peerage is unknown', async () => {
    expect(await withClaims({ peerage: JSON.parse('{"__proto__":{"discovery":true}}') })).toMatchObject({
      ok: false,
    })
  })

  test.each<unknown>([
    {},
    { jkt: 'short' },
    { jkt: 1 },
    { kid: 'a' },
    { jkt: 'a'.repeat(43), jwk: {} },
    'x',
    null,
  ])('cnf %j is refused', async (cnf) => {
    expect(await withClaims({ cnf })).toMatchObject({
      ok: false,
      code: 'bad-token',
      detail: expect.stringContaining('cnf'),
    })
  })

  test.each(['', 1, 'x'.repeat(257), null])('jti %j is refused', async (jti) => {
    expect(await withClaims({ jti })).toMatchObject({
      ok: false,
      code: 'bad-token',
      detail: expect.stringContaining('jti'),
    })
  })
})

describe('names', () => {
  const made = 'm4de-by-the-node'
  const asks = async (claims: object, name: string | undefined, isNameMade = false) => {
    const test = tokenTest()
    const token = await sign({ ...claimsOfAlice(test.clock.now()), ...claims })
    const { name: _, ...request } = asked({ token, isNameMade })
    return test.access.admit({ ...request, ...(name !== undefined && { name: name as never }) })
  }
  const forbidden = { ok: false, code: 'forbidden' }

  test('sub is the name, without wildcards', async () => {
    expect(await asks({}, 'alice')).toMatchObject({ ok: true, isOwnName: true })
    for (const [sub, name] of [
      ['alice', 'bob'],
      ['alice', 'Alice'],
      ['a*', 'alice'],
      ['alice', 'alice2'],
      ['*', 'alice'],
    ])
      expect(await asks({ sub }, name)).toEqual({
        ...forbidden,
        detail: 'the token does not allow this name',
      })
    expect(await asks({ sub: 'a*' }, 'a*')).toMatchObject({ ok: true, isOwnName: true })
  })

  test('peerage.claim says which names instead', async () => {
    const peerage = { claim: { names: ['alice', 'bob'], prefixes: ['alice-'] } }
    for (const name of ['alice', 'bob', 'alice-phone', 'alice-'])
      expect(await asks({ peerage }, name)).toMatchObject({ ok: true, isOwnName: false, identity: 'alice' })
    for (const name of ['carol', 'Alice-phone', 'bobby'])
      expect(await asks({ peerage }, name)).toMatchObject(forbidden)
    expect(await asks({ peerage: { claim: {} } }, 'alice')).toMatchObject(forbidden)
    expect(await asks({ peerage: { claim: { prefixes: [''] } } }, 'anything')).toMatchObject({ ok: true })
  })

  test('a peer that asks for no name gets one that the token allows', async () => {
    expect(await asks({}, made, true)).toMatchObject({ ok: true, name: 'alice', isOwnName: true })
    const get = async (claim: object) => asks({ peerage: { claim } }, made, true)
    expect(await get({ names: ['bob', 'alice'] })).toMatchObject({
      ok: true,
      name: 'alice',
      isOwnName: false,
    })
    expect(await get({ prefixes: ['alice-'] })).toMatchObject({ ok: true, name: `alice-${made}` })
    expect(await get({ names: ['bob'] })).toMatchObject({ ok: true, name: 'bob' })
    expect(await get({ names: ['bob', 'carol'] })).toMatchObject(forbidden)
    expect(await get({})).toMatchObject(forbidden)
  })

  test('a sub that is no name needs peerage.claim', async () => {
    const sub = 'x'.repeat(200)
    expect(await asks({ sub }, made, true)).toMatchObject({
      ok: false,
      code: 'bad-token',
      detail: expect.stringContaining('sub is no name'),
    })
    expect(await asks({ sub, peerage: { claim: { prefixes: ['p-'] } } }, made, true)).toMatchObject({
      ok: true,
      name: `p-${made}`,
    })
    expect(await asks({ peerage: { claim: { prefixes: ['p'.repeat(120)] } } }, made, true)).toMatchObject({
      ok: false,
      code: 'bad-token',
    })
  })

  test('a request for the list of ids needs no name', async () => {
    expect(await asks({ peerage: { discovery: true } }, undefined)).toMatchObject({
      ok: true,
      discovery: true,
      isOwnName: false,
    })
  })
})

test('a public key that does not fit its algorithms is refused when the rules are made', () => {
  expect(() => tokenTest({ algorithms: ['ES256'], keys: keysFor('RS256') })).toThrow(
    'is a key for RS256 and PS256, and token.algorithms has ES256',
  )
  expect(() => tokenTest({ algorithms: ['RS256'], keys: { type: 'public-key', pem: 'x' } })).toThrow(
    'must be PEM text of a public key',
  )
  const pem = pairs.ES256.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  expect(() => tokenTest({ algorithms: ['ES256'], keys: { type: 'public-key', pem } })).toThrow(
    'must be a public key',
  )
})

test('more tokens at once than can wait for a check are told to come back', async () => {
  const { clock, admit } = tokenTest()
  const token = await sign(claimsOfAlice(clock.now()))
  const decisions = await Promise.all(Array.from({ length: 5_000 }, () => admit(token)))
  const codes = decisions.map((decision) => (decision.ok ? 'ok' : decision.code))
  expect(new Set(codes)).toEqual(new Set(['ok', 'overloaded']))
  expect(codes.filter((code) => code === 'ok')).toHaveLength(32 + 4_096)
  expect(await admit(token)).toMatchObject({ ok: true })
})
