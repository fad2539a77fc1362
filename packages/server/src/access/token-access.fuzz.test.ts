import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { claimsOfAlice, SECRET, tokenTest } from '../testing/tokens.js'
import { readKeySet } from './jwks.js'

const base64url = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url')
function sign(header: unknown, payload: string): string {
  const signed = `${base64url(JSON.stringify(header) ?? '')}.${base64url(payload)}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

const part = fc.oneof(fc.string(), fc.uint8Array().map(base64url), fc.json().map(base64url))
const garbage = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.tuple(part, part, part).map((parts) => parts.join('.')),
  // The header is right, and the rest is not.
  fc
    .tuple(fc.jsonValue(), part)
    .map(
      ([claims, signature]) =>
        `${base64url('{"alg":"HS256"}')}.${base64url(JSON.stringify(claims))}.${signature}`,
    ),
)

test('no garbage is let in, and none makes admit throw', async () => {
  const { admit, errors } = tokenTest()
  await fc.assert(
    fc.asyncProperty(garbage, async (token) => {
      expect(await admit(token)).toMatchObject({ ok: false, code: 'bad-token', detail: expect.any(String) })
    }),
    { numRuns: 500 },
  )
  expect(errors).toEqual([])
})

test('with a right signature, no claims and no header make admit throw, and the answer does not repeat them', async () => {
  const { admit, errors, clock } = tokenTest()
  const right = claimsOfAlice(clock.now())
  const key = fc.constantFrom(
    'sub',
    'aud',
    'exp',
    'nbf',
    'iat',
    'jti',
    'cnf',
    'peerage',
    'iss',
    '__proto__',
    'constructor',
  )
  const claims = fc.oneof(
    fc.json(),
    fc.dictionary(key, fc.jsonValue()).map((wrong) => JSON.stringify({ ...right, ...wrong })),
    fc.jsonValue().map((peerage) => JSON.stringify({ ...right, peerage })),
  )
  const header = fc.oneof(
    fc.constant({ alg: 'HS256' }),
    fc.dictionary(fc.constantFrom('alg', 'kid', 'typ', 'crit', 'b64', 'jwk', 'zip'), fc.jsonValue()),
    fc
      .dictionary(fc.constantFrom('kid', 'typ', 'crit', 'jwk'), fc.jsonValue())
      .map((wrong) => ({ ...wrong, alg: 'HS256' })),
  )
  const secret = 'quite-unlikely-text'
  await fc.assert(
    fc.asyncProperty(header, claims, async (header, claims) => {
      const decision = await admit(sign(header, claims))
      if (decision.ok) expect(decision).toMatchObject({ app: 'chat', identity: 'alice' })
      else expect(['bad-token', 'token-expired', 'forbidden']).toContain(decision.code)
    }),
    { numRuns: 500 },
  )
  for (const claim of [{ [secret]: 1 }, { rooms: { [secret]: 1 } }, { rooms: { names: [secret, 1] } }]) {
    const decision = await admit(sign({ alg: 'HS256' }, JSON.stringify({ ...right, peerage: claim })))
    expect(decision).toMatchObject({ ok: false })
    expect(JSON.stringify(decision)).not.toContain(secret)
  }
  expect(errors).toEqual([])
})

test('any text is read as a set of keys or as a problem', () => {
  const jwk = fc.dictionary(
    fc.constantFrom('kty', 'n', 'e', 'x', 'y', 'crv', 'kid', 'alg', 'use', 'key_ops', 'd', '__proto__'),
    fc.oneof(fc.constantFrom('RSA', 'EC', 'OKP', 'oct', 'P-256', 'Ed25519', 'AQAB', 'sig'), fc.jsonValue()),
  )
  const set = fc.oneof(
    fc.string(),
    fc.json(),
    fc.array(jwk).map((keys) => JSON.stringify({ keys })),
  )
  fc.assert(
    fc.property(set, (text) => typeof readKeySet(text).ok === 'boolean'),
    { numRuns: 500 },
  )
})
