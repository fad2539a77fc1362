import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { PassThrough } from 'node:stream'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { describe, expect, test } from 'vitest'
import { peerage } from '../../testing/command-line.js'
import { pairs, pemOf, SECRET } from '../../testing/tokens.js'
import { json, webServer } from '../../testing/web-server.js'

const privatePem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()

const CONFIG = `
defaultApp: chat
apps:
  chat:
    access:
      mode: token
      token: { algorithms: [HS256], secret: { file: secret }, issuer: https://id.example, typ: at+jwt, lifetimeMs: 60000 }
  games:
    access:
      mode: token
      token: { algorithms: [EdDSA], publicKey: { file: EdDSA.pub } }
  wild: { access: { mode: open } }
  unset:
  away: { access: { key: { file: elsewhere } }, api: { keys: [{ file: elsewhere }] } }
redis: { url: redis://10.0.0.5, password: { file: elsewhere } }
links: { host: 0.0.0.0 }
`

const files: Record<string, string> = {
  secret: `${SECRET}\n`,
  short: 'short',
  other: `${SECRET}!`,
  'peerage.yaml': CONFIG,
  'broken.yaml': 'acces: 1',
  ...Object.fromEntries(
    Object.entries(pairs).flatMap(([name, { privateKey, publicKey }]) => [
      [name, privatePem(privateKey)],
      [`${name}.pub`, pemOf(publicKey)],
      [`${name}.jwk`, JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: `of-${name}` })],
    ]),
  ),
  'small.key': privatePem(generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey),
  'locked.key': generateKeyPairSync('ed25519')
    .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString(),
}

const readFile = (path: string): string => {
  const text = files[path]
  if (text === undefined) throw new Error('ENOENT')
  return text
}

const token = (...args: string[]) => peerage(['token', ...args], { readFile })
const mint = (...args: string[]) => token('mint', '--app', 'chat', '--sub', 'alice', ...args)

async function minted(...args: string[]): Promise<string> {
  const { code, out, err } = await mint(...args)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return out
}

describe('mint', () => {
  test('prints a token for one hour, and nothing else', async () => {
    const out = await minted('--secret-file', 'secret')
    expect(decodeProtectedHeader(out)).toEqual({ alg: 'HS256', typ: 'JWT' })
    const { iat = 0, exp = 0, ...claims } = decodeJwt(out)
    expect(Math.round(exp - iat)).toBeGreaterThanOrEqual(3_599)
    expect(claims).toEqual({ aud: 'chat', sub: 'alice', jti: expect.stringMatching(/^[\da-f-]{36}$/) })
  })

  test.each(['RS256', 'ES256', 'EdDSA'])(
    'signs with a private key for %s, as PEM and as JWK',
    async (algorithm) => {
      expect(decodeProtectedHeader(await minted('--key-file', algorithm))).toEqual({
        alg: algorithm,
        typ: 'JWT',
      })
      const { kid } = decodeProtectedHeader(await minted('--key-file', `${algorithm}.jwk`))
      expect(kid).toBe(`of-${algorithm}`)
    },
  )

  test('takes algorithm, time, claims, kid, issuer and typ', async () => {
    const peerage = { claim: { prefixes: ['alice-'] }, discovery: true }
    const flags = [
      '--alg',
      'PS256',
      '--ttl',
      '90s',
      '--kid',
      'k1',
      '--issuer',
      'me',
      '--typ',
      'at+jwt',
      '--claim',
      JSON.stringify(peerage),
    ]
    const out = await minted('--key-file', 'RS256', ...flags)
    expect(decodeProtectedHeader(out)).toEqual({ alg: 'PS256', typ: 'at+jwt', kid: 'k1' })
    const { iat = 0, exp = 0, ...claims } = decodeJwt(out)
    expect(Math.round(exp - iat)).toBeGreaterThanOrEqual(89)
    expect(claims).toMatchObject({ iss: 'me', peerage })
  })

  test('takes secret, issuer and typ from the configuration', async () => {
    const out = await minted('--config', 'peerage.yaml', '--ttl', '1m')
    expect(decodeProtectedHeader(out)).toEqual({ alg: 'HS256', typ: 'at+jwt' })
    expect(decodeJwt(out)).toMatchObject({ iss: 'https://id.example' })
    expect(await token('verify', out, '--app', 'chat', '--config', 'peerage.yaml')).toMatchObject({ code: 0 })
  })

  test.each([
    [[], 'give one of --config, --secret-file, --key-file'],
    [['--secret-file', 'secret', '--key-file', 'RS256'], '--secret-file and --key-file are both given'],
    [['--secret-file', 'absent'], '--secret-file: absent cannot be read: ENOENT'],
    [['--secret-file', 'short'], '--secret-file: a secret for HS256 has at least 32 bytes'],
    [['--secret-file', 'secret', '--alg', 'RS256'], '--alg: RS256 needs a private key: use --key-file'],
    [
      ['--secret-file', 'secret', '--alg', 'none'],
      '--alg: it must be one of HS256, RS256, PS256, ES256, EdDSA',
    ],
    [['--secret-file', 'secret', '--ttl', '1 hour'], '--ttl: 1 hour is no time such as 90s, 10m, 2h or 1d'],
    [
      ['--secret-file', 'secret', '--claim', '{rooms}'],
      `--claim: it is not JSON, such as '{"rooms":{"names":["lobby"]}}'`,
    ],
    [
      ['--secret-file', 'secret', '--claim', '{"room":{}}'],
      '--claim: its value must be an object of no other keys than claim, rooms, to, limits and discovery',
    ],
    [
      ['--secret-file', 'secret', '--claim', '{"rooms":{"names":"lobby"}}'],
      '--claim: its rooms.names must be a list',
    ],
    [
      ['--key-file', 'secret'],
      '--key-file: the key in secret is not PEM text of a private key without a password: ',
    ],
    [
      ['--key-file', 'locked.key'],
      '--key-file: the key in locked.key is not PEM text of a private key without a password: ',
    ],
    [
      ['--key-file', 'RS256.pub'],
      '--key-file: the key in RS256.pub is not PEM text of a private key without a password: ',
    ],
    [
      ['--key-file', 'small.key'],
      '--key-file: the key in small.key is none of RSA of 2048 to 8192 bits, EC P-256 and Ed25519',
    ],
    [
      ['--key-file', 'EdDSA', '--alg', 'ES256'],
      '--key-file: the key in EdDSA cannot sign with ES256; it is for EdDSA',
    ],
    [['--config', 'peerage.yaml'], '--ttl: the app takes tokens for at most 60s (access.token.lifetimeMs)'],
    [['--config', 'absent.yaml'], 'the configuration has a problem:'],
    [['--config', 'broken.yaml'], 'the configuration has a problem:'],
  ])('%j is refused', async (args, what) => {
    const { code, out, err } = await mint(...args)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err.startsWith(`peerage: ${what}`), err).toBe(true)
    for (const secret of [SECRET, 'PRIVATE KEY']) expect(err).not.toContain(secret)
  })

  test.each([
    ['games', '--config: it has only public keys for this app, which cannot sign: use --key-file'],
    ['wild', '--app: the app wild takes no tokens: in peerage.yaml its access.mode is open'],
    ['unset', '--app: the app unset takes no tokens: in peerage.yaml its access.mode is open'],
    ['other', '--app: peerage.yaml has no app other; it has chat, games, wild, unset, away'],
    ['Chat', '--app: app must be 1 to 32 characters of a-z, 0-9 and -'],
  ])('a configuration that cannot sign for the app %s is refused', async (app, what) => {
    const { code, err } = await token('mint', '--app', app, '--sub', 'alice', '--config', 'peerage.yaml')
    expect({ code, err }).toEqual({ code: 2, err: `peerage: ${what}` })
  })

  test.each(['', 'x'.repeat(257)])('the sub %j is refused', async (sub) => {
    const { code, err } = await token('mint', '--app', 'chat', '--sub', sub, '--secret-file', 'secret')
    expect(code).toBe(2)
    expect(err).toMatch(/^peerage: --sub: it must/)
  })

  test.each([
    [['--sub', 'alice', '--secret-file', 'secret'], "required option '--app <app>' not specified"],
    [['--app', 'chat', '--secret-file', 'secret'], "required option '--sub <text>' not specified"],
    [['--app', 'chat', '--sub', 'a', '--secret', SECRET], "unknown option '--secret'"],
    [['--app', 'chat', '--app', 'chat', '--sub', 'a'], '--app is given twice'],
    [['--app', '--sub', 'a'], '--app needs a value: --sub is the next flag'],
  ])('%j is no command line', async (args, what) => {
    const { code, err } = await token('mint', ...args)
    expect(code).toBe(2)
    expect(err).toContain(what)
  })
})

describe('verify', () => {
  const verify = (given: string, ...args: string[]) => token('verify', given, '--app', 'chat', ...args)

  test('prints header and claims, and says that the token is good', async () => {
    const given = await minted('--secret-file', 'secret')
    const { code, out, err } = await verify(given, '--secret-file', 'secret', '--name', 'alice')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ header: { alg: 'HS256' }, claims: { sub: 'alice', aud: 'chat' } })
    expect(err).toMatch(
      /^peerage: the token is good: it is of "alice", until \d{4}-.*Z; bans and revocations are not looked up$/,
    )
  })

  test('reads the token from standard input', async () => {
    const stdin = new PassThrough()
    stdin.end(`${await minted('--secret-file', 'secret')}\n`)
    const streams = { stdin, stdout: new PassThrough(), stderr: new PassThrough() }
    const args = ['token', 'verify', '-', '--app', 'chat', '--secret-file', 'secret']
    expect(await peerage(args, { readFile, streams })).toMatchObject({ code: 0 })
  })

  test.each(['RS256', 'PS256', 'ES256', 'EdDSA'])('takes a public key for %s', async (algorithm) => {
    const given = await minted('--key-file', algorithm, '--alg', algorithm)
    expect(await verify(given, '--key-file', `${algorithm}.pub`)).toMatchObject({ code: 0 })
  })

  test('takes the keys of a JWKS', async () => {
    const { d: _, ...open } = pairs.ES256.privateKey.export({ format: 'jwk' })
    const server = await webServer(json({ keys: [{ ...open, kid: 'k1' }] }))
    const good = await minted('--key-file', 'ES256', '--kid', 'k1')
    expect(await verify(good, '--jwks', server.url)).toMatchObject({ code: 0 })
    const other = await minted('--key-file', 'ES256', '--kid', 'k2')
    expect(await verify(other, '--jwks', server.url)).toMatchObject({
      code: 1,
      err: expect.stringContaining('unknown kid'),
    })
    await server.close()
    const { code, err } = await verify(good, '--jwks', server.url)
    expect(code).toBe(1)
    expect(err).toMatch(/ECONNREFUSED[^]*refused \(access-unavailable\)/)
  })

  test.each([
    [
      ['--secret-file', 'other'],
      "refused (bad-token): the token's signature is wrong: no key of this app has made it",
    ],
    [
      ['--key-file', 'RS256.pub'],
      'refused (bad-token): the token is signed with HS256, and this app takes RS256, PS256',
    ],
    [['--secret-file', 'secret', '--name', 'bob'], 'refused (forbidden): the token does not allow this name'],
    [
      ['--secret-file', 'secret', '--issuer', 'x'],
      'refused (bad-token): the token has no iss, and this app needs one',
    ],
    [
      ['--secret-file', 'secret', '--typ', 'at+jwt'],
      "refused (bad-token): the token's header must have the typ at+jwt: it may be a token for something else",
    ],
    [
      ['--secret-file', 'secret', '--lifetime', '1m'],
      "refused (bad-token): the token's exp is too far ahead: this app takes tokens that end within 60 s",
    ],
    [
      ['--config', 'peerage.yaml'],
      "refused (bad-token): the token's header must have the typ at+jwt: it may be a token for something else",
    ],
  ])('with %j it says which rule refused', async (args, what) => {
    const { code, out, err } = await verify(await minted('--secret-file', 'secret'), ...args)
    expect({ code, err }).toEqual({ code: 1, err: `peerage: ${what}` })
    expect(JSON.parse(out)).toMatchObject({ claims: { sub: 'alice' } })
  })

  test.each(['', 'garbage', 'a.b.c'])('%j is no token', async (given) => {
    const { code, out, err } = await verify(given, '--secret-file', 'secret')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(/^peerage: refused \(bad-token\): /)
  })

  test.each([
    [[], 'give one of --config, --secret-file, --key-file, --jwks'],
    [['--key-file', 'RS256'], '--key-file: RS256 must be a public key'],
    [['--key-file', 'secret'], '--key-file: secret must be PEM text of a public key'],
    [['--jwks', 'keys.json'], '--jwks: keys.json is not a URL such as https://id.example/keys.json'],
    [['--secret-file', 'secret', '--name', ''], '--name: name must not be empty'],
    [['--secret-file', 'secret', '--lifetime', 'x'], '--lifetime: x is no time'],
  ])('%j is refused', async (args, what) => {
    const { code, err } = await verify('a.b.c', ...args)
    expect(code).toBe(2)
    expect(err.startsWith(`peerage: ${what}`), err).toBe(true)
  })
})

test('a word that is no command of token is refused, and token alone prints its help', async () => {
  expect(await token('mnt')).toMatchObject({ code: 2, err: expect.stringContaining('mint') })
  expect(await token()).toMatchObject({ code: 2, err: expect.stringContaining('peerage token mint') })
  for (const command of ['mint', 'verify']) {
    const { out } = await token(command, '--help')
    expect(out).toContain('--secret-file')
    // An example is a line to copy.
    for (const line of out.split('\n'))
      if (!/^ {2}peerage /.test(line)) expect(line.length, line).toBeLessThanOrEqual(80)
  }
})
