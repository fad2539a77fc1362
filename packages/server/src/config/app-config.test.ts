import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseApp, type App } from '@peerage/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { config, load, problems } from '../testing/load-config.js'
import { settingsOf } from './app-settings.js'
import { nodeDefinition } from './check.js'
import { linesOf } from './load.js'
import { checkOptions, type PeerageOptions } from './options.js'
import { toYaml } from './print.js'
import { printedSettings } from './printed-settings.js'
import { readEnvironment } from './sources.js'

function app(text: string): App {
  const parsed = parseApp(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

const pem = (key: {
  publicKey: { export(options: { type: 'spki'; format: 'pem' }): string | Buffer }
}): string => key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const EC = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
const P384 = pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }))
const RSA = pem(generateKeyPairSync('rsa', { modulusLength: 2_048 }))
const SHORT_RSA = pem(generateKeyPairSync('rsa', { modulusLength: 1_024 }))
const ED = pem(generateKeyPairSync('ed25519'))
const PRIVATE = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const HMAC = 'a-secret-of-at-least-32-bytes-for-HS256'

describe('apps in the file', () => {
  test('have settings of their own, each with its line, and secrets from files', () => {
    const loaded = load({
      file: `
defaultApp: chat
apps:
  chat:
    origins: [https://chat.example]
    access:
      mode: token
      token: { algorithms: [ES256], publicKey: { file: /run/chat.pem } }
    api: { keys: [{ file: /run/api }, a-second-key-with-24-letters] }
  games:
    access: { key: { file: /run/games } }
    limits: { app: { connections: 1000 } }
    peerjsKeys: [games-key]
  plain:
  empty: {}
`,
      files: {
        '/run/chat.pem': EC,
        '/run/api': 'a-first-key-with-24-letters!\n',
        '/run/games': 'a-shared-key-of-16\r\n',
      },
    })
    expect(loaded).toMatchObject({
      ok: true,
      config: {
        defaultApp: 'chat',
        apps: {
          chat: { api: { keys: ['a-first-key-with-24-letters!', 'a-second-key-with-24-letters'] } },
          games: { access: { key: 'a-shared-key-of-16' }, limits: { app: { connections: 1_000 } } },
          plain: {},
          empty: {},
        },
      },
    })
    if (!loaded.ok) return
    expect(loaded.sources.get('apps.games.limits.app.connections')).toBe('peerage.yaml:12')
    expect(settingsOf(loaded.config, app('chat')).access).toEqual({
      mode: 'token',
      token: {
        algorithms: ['ES256'],
        keys: { type: 'public-key', pem: EC.replace(/\n$/, '') },
        typ: null,
        issuer: null,
        lifetimeMs: 3_600_000,
      },
    })
    expect(settingsOf(loaded.config, app('games')).access).toEqual({
      mode: 'key',
      key: 'a-shared-key-of-16',
      previousKey: null,
    })
  })

  test('are printed without their secrets, and what is printed is read again', () => {
    const secrets = {
      access: {
        mode: 'token',
        token: { algorithms: ['HS256'], secret: `geheim-1${HMAC}`, previousSecret: `geheim-2${HMAC}` },
      },
      turn: { urls: ['turn:a'], secret: 'geheim-3', previousSecret: 'geheim-4' },
      api: { keys: ['geheim-5-with-24-letters-or-more'] },
    }
    const file = JSON.stringify({
      defaultApp: 'chat',
      api: { keys: ['geheim-6-with-24-letters-or-more'] },
      apps: {
        chat: secrets,
        hook: {
          access: {
            mode: 'webhook',
            webhook: { url: 'https://a.example/hook', secret: 'geheim-7-geheim-7' },
          },
        },
        key: { access: { key: 'geheim-8-geheim-8', previousKey: 'geheim-9-geheim-9' } },
      },
    })
    const loaded = load({ file })
    expect(loaded.ok).toBe(true)
    if (!loaded.ok) return
    const yaml = toYaml(printedSettings(loaded.config, loaded.sources))
    expect(yaml).not.toContain('geheim')
    expect(yaml.match(/\[redacted\]/g)).toHaveLength(9)

    const plain = config({
      file: 'apps:\n  default: { limits: { connection: { lookupsPerSecond: 3 } }, origins: [https://a.example] }\n  games: {}\n',
    })
    const again = config({ file: toYaml(printedSettings(plain, new Map())) })
    for (const each of ['default', 'games'])
      expect(settingsOf(again, app(each))).toEqual(settingsOf(plain, app(each)))
  })

  test('are printed with all that holds for them and where it comes from, without other modes of access', () => {
    const loaded = load({
      flags: { 'limits.connection.messagesPerSecond': 5 },
      file: `
defaultApp: chat
origins: [https://a.example]
api: { keys: [a-key-with-at-least-24-letters] }
p2p: { turn: { ttlMs: 60000 } }
apps:
  chat:
    access:
      token: { algorithms: [HS256], secret: ${HMAC} }
    limits: { connection: { bytesPerSecond: 7 } }
    turn: { urls: [turn:a], secret: s }
  lab:
    origins:
      - https://b.example
    access: { mode: open }
`,
    })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    const yaml = toYaml(printedSettings(loaded.config, loaded.sources))
    const chat = `  chat:
    access:
      mode: token
      token:
        algorithms:
          # peerage.yaml:9
          - HS256
        secret: "[redacted]" # peerage.yaml:9
        previousSecret: null
        publicKey: null
        jwks: null
        allowPrivate: false
        typ: null
        issuer: null
        lifetimeMs: 3600000
    origins:
      # origins, peerage.yaml:3
      - https://a.example
    taken: refuse # taken
    limits:
      connection:
        messagesPerSecond: 5 # limits.connection.messagesPerSecond, --limits.connection.messagesPerSecond
        bytesPerSecond: 7 # peerage.yaml:10
        signalBytesPerSecond: 262144 # limits.connection.signalBytesPerSecond
        lookupsPerSecond: 200 # limits.connection.lookupsPerSecond
`
    const end = `    turn:
      urls:
        # peerage.yaml:11
        - turn:a
      secret: "[redacted]" # peerage.yaml:11
      previousSecret: null
      ttlMs: 300000
    discovery: false # peerjs.allowDiscovery
    peerjsKeys: []
    api:
      keys:
        # api.keys, peerage.yaml:4
        - "[redacted]"
`
    const lab = `  lab:
    access:
      mode: open # peerage.yaml:15
    origins:
      # peerage.yaml:13
      - https://b.example
    taken: refuse # taken
`
    expect(yaml).toContain('    turn:\n      urls: [] # p2p.turn.urls\n')
    for (const part of [chat, end, lab]) expect(yaml).toContain(part)
    expect(yaml).toContain('      ttlMs: 60000 # p2p.turn.ttlMs, peerage.yaml:5\n')
    expect(yaml).toContain('    api:\n      keys: []\n')
  })

  test('may share settings by an anchor', () => {
    const file = 'apps:\n  default: &shared { origins: [https://a.example], access: {} }\n  games: *shared\n'
    expect(config({ file }).apps).toMatchObject({ games: { origins: ['https://a.example'] } })
    expect(problems({ file: 'apps: &a { default: *a }' })).toEqual([
      'apps.default.default (peerage.yaml:1): is not a setting',
    ])
  })

  test('have no flag and no variable', () => {
    expect(problems({ env: { PEERAGE_APPS: 'chat' } })).toEqual([
      expect.stringMatching(/^PEERAGE_APPS \(environment\): is not a variable of peerage/),
    ])
  })
})

describe('a secret of the node', () => {
  test('may be in a file that the setting names, or a variable, and a list has an item in each line', () => {
    const files = {
      '/run/key': 'a-shared-key-of-16\n',
      '/run/keys': 'a-first-key-with-24-letters!\nanother-key-with-24-letters!\n',
    }
    expect(config({ file: 'access: { key: { file: /run/key } }', files }).access.key).toBe(
      'a-shared-key-of-16',
    )
    expect(config({ env: { PEERAGE_API_KEYS_FILE: '/run/keys' }, files }).api.keys).toEqual([
      'a-first-key-with-24-letters!',
      'another-key-with-24-letters!',
    ])
    expect(
      config({
        env: {
          PEERAGE_ACCESS_MODE: 'token',
          PEERAGE_ACCESS_TOKEN_ALGORITHMS: 'ES256',
          PEERAGE_ACCESS_TOKEN_PUBLIC_KEY_FILE: '/run/pem',
        },
        files: { '/run/pem': EC },
      }).access.token.publicKey,
    ).toBe(EC.replace(/\n$/, ''))
  })

  test('from a file is named with its file, once, and a public key is not', () => {
    const file = `
access: { mode: token, token: { algorithms: [ES256], publicKey: { file: /run/pem } } }
api: { keys: [{ file: /run/key }, not-from-a-file-but-24-long] }
apps:
  default: { api: { keys: [{ file: /run/key }] } }
p2p: { turn: { secret: { file: /run/turn }, urls: ['turn:turn.example'] } }
`
    const files = {
      '/run/pem': EC,
      '/run/key': 'a-first-key-with-24-letters!',
      '/run/turn': 'for turn',
      '/run/password': 'for redis',
    }
    const env = { PEERAGE_REDIS_PASSWORD_FILE: '/run/password' }
    expect(load({ file, files, env })).toMatchObject({
      ok: true,
      secretFiles: expect.toSatisfy(
        (found: string[]) => found.toSorted().join() === '/run/key,/run/password,/run/turn',
      ),
    })
    // A variable wins over the file, so what the other file holds is not in use.
    const other = { ...env, PEERAGE_P2P_TURN_SECRET: 'another' }
    expect(load({ file, files, env: other })).toHaveProperty(
      'secretFiles',
      expect.not.arrayContaining(['/run/turn']),
    )
  })

  test('from a file that cannot be read is a problem with the line that names the file', () => {
    expect(problems({ file: 'access:\n  key: { file: /nowhere }' })).toEqual([
      "access.key (peerage.yaml:2): cannot be read: ENOENT: no such file, open '/nowhere'",
    ])
    expect(problems({ file: 'access:\n  key: { path: /nowhere }' })).toEqual([
      'access.key (peerage.yaml:2): must be a string, or { file: path }',
    ])
  })

  test('from a file that this account may not read is a problem that says who needs the permission', () => {
    const path = '/run/key'
    const readFile = (): string => {
      throw Object.assign(new Error(`EACCES: permission denied, open '${path}'`), { code: 'EACCES' })
    }
    const { problems: found } = readEnvironment(nodeDefinition, {
      env: { PEERAGE_ACCESS_KEY_FILE: path },
      readFile,
    })
    expect(linesOf(found)).toEqual([
      "access.key (PEERAGE_ACCESS_KEY_FILE): cannot be read: EACCES: permission denied, open '/run/key'; the account that runs this program needs the permission to read it",
    ])
  })

  test('from an empty file has one problem', () => {
    expect(problems({ file: 'access:\n  key: { file: /empty }', files: { '/empty': '\n' } })).toEqual([
      'access.key (peerage.yaml:2): must not be empty',
    ])
  })

  test('from a file of a relative path is looked for in the working directory, which the problem says', () => {
    const tried = `a relative path begins in the folder where the program was started, so this is ${resolve('chat-key')}`
    expect(problems({ file: 'access: { key: { file: chat-key } }' })).toEqual([
      `access.key (peerage.yaml:1): cannot be read: ENOENT: no such file, open 'chat-key'; ${tried}`,
    ])
    expect(problems({ env: { PEERAGE_ACCESS_KEY_FILE: 'chat-key' } })).toEqual([
      `access.key (PEERAGE_ACCESS_KEY_FILE): cannot be read: ENOENT: no such file, open 'chat-key'; ${tried}`,
    ])
  })

  test('in a list is named by its place in the list, with each that is wrong', () => {
    const keys = '[a-key-with-at-least-24-letters, { file: /a }, { file: /b }]'
    expect(problems({ file: `apps:\n  default: { api: { keys: ${keys} } }\napi: { port: 9300 }` })).toEqual([
      "apps.default.api.keys.1 (peerage.yaml:2): cannot be read: ENOENT: no such file, open '/a'",
      "apps.default.api.keys.2 (peerage.yaml:2): cannot be read: ENOENT: no such file, open '/b'",
    ])
    expect(problems({ file: 'api: { keys: [{ file: /a }], port: 9300 }' })).toEqual([
      "api.keys.0 (peerage.yaml:1): cannot be read: ENOENT: no such file, open '/a'",
    ])
    expect(() => checkOptions({ api: { keys: [{ file: '/nowhere/a' }] } })).toThrow(
      'options: api.keys.0 cannot be read: ENOENT',
    )
  })

  test('that is no list is a problem that shows how a list is written', () => {
    expect(problems({ file: 'api: { keys: a-key-with-at-least-24-letters }' })).toEqual([
      'api.keys (peerage.yaml:1): must be a list, such as [{ file: /run/secrets/chat-api }]',
    ])
  })
})

describe('a mistake in apps names the setting and its line', () => {
  test.each([
    [
      'games: { origin: [x] }',
      'apps.games.origin (peerage.yaml:2): is not a setting; did you mean apps.games.origins?',
    ],
    [
      'games: { access: { moed: open } }',
      'apps.games.access.moed (peerage.yaml:2): is not a setting; did you mean apps.games.access.mode?',
    ],
    ['games: { port: 1 }', 'apps.games.port (peerage.yaml:2): is not a setting of an app, only of the node'],
    ['games: { prot: 1 }', 'apps.games.prot (peerage.yaml:2): is not a setting'],
    ['games: 7', 'apps.games (peerage.yaml:2): must be a mapping, because it is a section of settings'],
    ["'*': {}", /^apps\.\* \(peerage\.yaml:2\): must be an app/],
    [
      'No Spaces: {}',
      /^apps\.No Spaces \(peerage\.yaml:2\): must be an app, 1 to 32 characters of a-z, 0-9 and -, with its settings/,
    ],
    [
      'games: { origins: [https://a.example/] }',
      /^apps\.games\.origins\.0 \(peerage\.yaml:2\): must be an exact origin .*; it is "https:\/\/a\.example\/"$/,
    ],
    [
      'games: { access: { mode: lock } }',
      'apps.games.access.mode (peerage.yaml:2): must be one of open, key, token, webhook; it is "lock"',
    ],
    [
      'games: { access: { key: geheim } }',
      'apps.games.access.key (peerage.yaml:2): must be at least 16 characters',
    ],
    [
      'games: { access: { key: 7 } }',
      'apps.games.access.key (peerage.yaml:2): must be a string, or { file: path }',
    ],
    [
      'games: { api: { keys: [geheim] } }',
      'apps.games.api.keys.0 (peerage.yaml:2): must be at least 24 characters',
    ],
    [
      'games: { limits: { app: { connections: -1 } } }',
      /^apps\.games\.limits\.app\.connections \(peerage\.yaml:2\): must be a whole number from 0 .*; it is -1$/,
    ],
    [
      'games: { limits: { address: { connections: 1 } } }',
      'apps.games.limits.address (peerage.yaml:2): is not a setting of an app, only of the node',
    ],
    [
      'games: { peerjsKeys: [v1] }',
      /^apps\.games\.peerjsKeys\.0 \(peerage\.yaml:2\): must not be v1 or peerage/,
    ],
    [
      'games: { turn: { urls: [turn:a] } }',
      'apps.games.turn.urls (peerage.yaml:2): needs apps.games.turn.secret: the static-auth-secret of these servers',
    ],
    [
      'games: { relay: { messageBytes: 0 } }',
      /^apps\.games\.relay\.messageBytes \(peerage\.yaml:2\): must be a whole number from 1/,
    ],
  ])('%s', (line, expected) => {
    const found = problems({ file: `apps:\n  ${line}\n  default: {}\n` })
    expect(found).toHaveLength(1)
    if (typeof expected === 'string') expect(found[0]).toBe(expected)
    else expect(found[0]).toMatch(expected)
    expect(found.join()).not.toContain('geheim')
  })

  test('does not hide mistakes in other apps, nor say that a node without apps would be open', () => {
    const file = 'host: 0.0.0.0\napps:\n  chat: { taken: x }\n  games: { taken: y }\n'
    expect(problems({ file })).toEqual([
      'apps.chat.taken (peerage.yaml:3): must be one of refuse, replace; it is "x"',
      'apps.games.taken (peerage.yaml:4): must be one of refuse, replace; it is "y"',
    ])
  })
})

describe('access.mode', () => {
  const access = (settings: unknown): string[] => problems({ file: `access: ${JSON.stringify(settings)}` })
  const token = (settings: unknown): string[] => access({ mode: 'token', token: settings })
  const webhook = (settings: unknown): string[] => access({ mode: 'webhook', webhook: settings })

  test('is open without any setting of access, and key with a key', () => {
    expect(settingsOf(config({}), app('any')).access).toEqual({ mode: 'open' })
    expect(settingsOf(config({ file: 'access: {}' }), app('any')).access).toEqual({ mode: 'open' })
    const ruled = config({ file: 'access: { key: a-shared-key-of-16, previousKey: a-shared-key-of-15 }' })
    expect(settingsOf(ruled, app('any')).access).toEqual({
      mode: 'key',
      key: 'a-shared-key-of-16',
      previousKey: 'a-shared-key-of-15',
    })
    expect(access({ mode: 'key' })).toEqual(['access.mode (peerage.yaml:1): the mode key needs access.key'])
  })

  test('is the one whose settings are there, so that no app is open because its mode was left out', () => {
    const mode = (settings: unknown): string =>
      settingsOf(config({ file: JSON.stringify({ access: settings }) }), app('any')).access.mode
    expect(mode({ token: { algorithms: ['HS256'], secret: HMAC } })).toBe('token')
    expect(mode({ webhook: { url: 'https://a.example' } })).toBe('webhook')
    expect(mode({ mode: 'open' })).toBe('open')
  })

  test.each<[unknown, string[]]>([
    [
      { previousKey: 'a-shared-key-of-16' },
      ['access.previousKey (peerage.yaml:1): the mode key needs access.key'],
    ],
    [
      { token: { lifetimeMs: 60_000 } },
      [
        'access.token.algorithms (default): must name the algorithms of your tokens, such as [ES256]',
        'access.token.lifetimeMs (peerage.yaml:1): the mode token needs one of access.token.secret, access.token.publicKey and access.token.jwks',
      ],
    ],
    [
      { webhook: { headers: ['x-tenant'] } },
      ['access.webhook.headers (peerage.yaml:1): the mode webhook needs access.webhook.url'],
    ],
  ])('is meant by %j, which lacks something', (settings, expected) => {
    expect(access(settings)).toEqual(expected)
  })

  test.each([
    [
      { mode: 'open', key: 'a-shared-key-of-16', previousKey: 'a-shared-key-of-15' },
      'access.key (peerage.yaml:1): is for access.mode: key, and the mode is open: set the mode, or leave access.key out',
    ],
    [
      { mode: 'open', token: { algorithms: ['HS256'], secret: HMAC, issuer: 'x' } },
      'access.token.algorithms (peerage.yaml:1): is for access.mode: token, and the mode is open: set the mode, or leave access.token out',
    ],
    [
      { key: 'a-shared-key-of-16', token: { algorithms: ['HS256'], secret: HMAC, issuer: 'x' } },
      'access.token.algorithms (peerage.yaml:1): is for the mode token, but access.key is for the mode key: set access.mode, and leave what is for another mode out',
    ],
    [
      { key: 'a-shared-key-of-16', token: { issuer: 'x' }, webhook: { url: 'https://a.example' } },
      'is for the mode token, but access.key is for the mode key, and access.webhook.url for the mode webhook: set access.mode',
    ],
  ])('refuses settings of another mode, in one problem: %j', (settings, expected) => {
    expect(access(settings)).toEqual([expect.stringContaining(expected)])
  })

  test('that is wrong itself hides what depends on it', () => {
    expect(access({ mode: 'lock', key: 'a-shared-key-of-16', token: { issuer: 'x' } })).toEqual([
      'access.mode (peerage.yaml:1): must be one of open, key, token, webhook; it is "lock"',
    ])
  })

  test.each([
    [{ algorithms: ['HS256'], secret: HMAC }],
    [{ algorithms: ['HS256'], secret: HMAC, previousSecret: `${HMAC}2` }],
    [{ algorithms: ['ES256'], publicKey: EC }],
    [{ algorithms: ['RS256', 'PS256'], publicKey: RSA }],
    [{ algorithms: ['EdDSA'], publicKey: ED }],
    [{ algorithms: ['RS256', 'ES256', 'EdDSA'], jwks: 'https://id.example/keys.json' }],
    [{ algorithms: ['ES256'], jwks: 'http://keycloak.auth.svc:8080/keys', allowPrivate: true }],
    [{ algorithms: ['ES256'], jwks: 'http://127.0.0.1:8080/keys' }],
    [{ algorithms: ['ES256'], jwks: 'http://[::1]:8080/keys' }],
    [{ algorithms: ['ES256'], jwks: 'http://localhost/keys' }],
  ])('token takes %j', (settings) => {
    expect(token(settings)).toEqual([])
  })

  test.each<[unknown, (string | RegExp)[]]>([
    [
      {},
      [
        'access.token.algorithms (default): must name the algorithms of your tokens, such as [ES256]',
        'access.mode (peerage.yaml:1): the mode token needs one of access.token.secret, access.token.publicKey and access.token.jwks',
      ],
    ],
    [
      { algorithms: ['none'], secret: HMAC },
      [/^access\.token\.algorithms\.0 .*must be one of HS256, RS256, PS256, ES256, EdDSA; it is "none"$/],
    ],
    [
      { algorithms: ['HS256'], secret: 'x'.repeat(31) },
      ['access.token.secret (peerage.yaml:1): must be at least 32 bytes'],
    ],
    [{ algorithms: ['HS256'], secret: 'ä'.repeat(16) }, []],
    [
      { algorithms: ['HS256', 'ES256'], secret: HMAC },
      [/must be \[HS256\] with access\.token\.secret; ES256 needs/],
    ],
    [
      { algorithms: ['HS256'], publicKey: RSA },
      [/must not have HS256 with public keys: anybody who knows a public key could sign/],
    ],
    [{ algorithms: ['RS256', 'HS256'], jwks: 'https://a.example' }, [/must not have HS256 with public keys/]],
    [
      { algorithms: ['ES256'], publicKey: EC, jwks: 'https://a.example' },
      [/^access\.token\.jwks .*: is set, and access\.token\.publicKey is set too: set only one of/],
    ],
    [
      { algorithms: ['ES256'], publicKey: EC, previousSecret: HMAC },
      [/^access\.token\.previousSecret .*: needs access\.token\.secret/],
    ],
    [
      { algorithms: ['ES256'], publicKey: RSA },
      [/^access\.token\.publicKey .*: is a key for RS256 and PS256, and token\.algorithms has ES256$/],
    ],
    [
      { algorithms: ['ES256'], publicKey: P384 },
      [/must be PEM text of a public key or a certificate: RSA of 2048 to 8192 bits, EC P-256 or Ed25519$/],
    ],
    [
      { algorithms: ['RS256'], publicKey: SHORT_RSA },
      [/must be PEM text of a public key or a certificate: RSA of 2048 to 8192 bits, EC P-256 or Ed25519$/],
    ],
    [
      { algorithms: ['ES256'], publicKey: PRIVATE },
      [/must be a public key: a node must not have the private key of the issuer$/],
    ],
    [
      { algorithms: ['ES256'], publicKey: 'no pem' },
      [/must be PEM text of a public key or a certificate: RSA of 2048 to 8192 bits, EC P-256 or Ed25519$/],
    ],
    [
      { algorithms: ['ES256'], publicKey: '-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----' },
      [/must be PEM text of a public key or a certificate: RSA of 2048 to 8192 bits, EC P-256 or Ed25519$/],
    ],
    [
      { algorithms: ['ES256'], jwks: 'http://id.example/keys' },
      [/^access\.token\.jwks .*: must be an https URL/],
    ],
    [{ algorithms: ['ES256'], jwks: 'http://10.0.0.7/keys' }, [/must be an https URL/]],
    [{ algorithms: ['HS256'], secret: 's'.repeat(32), allowPrivate: true }, [/allowPrivate/]],
    [{ algorithms: ['ES256'], jwks: 'file:///etc/keys' }, [/must be a URL such as https:/]],
    [{ algorithms: ['ES256'], jwks: 'https://u:p@id.example/keys' }, [/must not have a login/]],
    [
      { algorithms: ['ES256'], publicKey: EC, lifetimeMs: 1 },
      [/^access\.token\.lifetimeMs .*: must be a whole number from 1000/],
    ],
  ])('token refuses %j', (settings, expected) => {
    const found = token(settings)
    expect(found).toHaveLength(expected.length)
    for (const [index, each] of expected.entries())
      if (typeof each === 'string') expect(found[index]).toBe(each)
      else expect(found[index]).toMatch(each)
    expect(found.join()).not.toContain(HMAC)
  })

  test.each([
    [{ url: 'https://a.example/hook', headers: ['Cookie', 'X-Real-IP'] }],
    [{ url: 'http://127.0.0.1:7002/hook' }],
    [{ url: 'http://[::1]:7002/hook' }],
    [{ url: 'http://localhost:7002/hook' }],
    [{ url: 'https://10.0.0.7/hook' }],
    [{ url: 'http://10.0.0.7/hook', allowPrivate: true }],
    [{ url: 'http://hook.shop.svc/', allowPrivate: true }],
  ])('webhook takes %j', (settings) => {
    expect(webhook(settings)).toEqual([])
  })

  // The operator has written an IP address and localhost. Where another name leads, its DNS server says.
  test.each([
    ['http://127.0.0.1/', false, true],
    ['http://localhost/', false, true],
    ['https://[fd00::7]/', false, true],
    ['https://a.example/', false, false],
    ['https://localhost.example/', false, false],
    ['https://a.example/', true, true],
  ])('%s with allowPrivate %s may have private addresses: %s', (url, allowPrivate, expected) => {
    const hook = { access: { mode: 'webhook', webhook: { url, allowPrivate } } }
    const jwks = { access: { mode: 'token', token: { algorithms: ['ES256'], jwks: url, allowPrivate } } }
    const read = (file: unknown) => settingsOf(config({ file: JSON.stringify(file) }), app('default')).access
    expect(read(hook)).toMatchObject({ webhook: { allowPrivate: expected } })
    expect(read(jwks)).toMatchObject({ token: { keys: { allowPrivate: expected } } })
  })

  test('webhook has defaults, and the names of its headers are in lower case', () => {
    const hook = config({
      file: `access: { mode: webhook, webhook: { url: 'https://a.example', headers: [Cookie] } }`,
    })
    expect(settingsOf(hook, app('default')).access).toEqual({
      mode: 'webhook',
      webhook: {
        url: 'https://a.example',
        timeoutMs: 1_500,
        headers: ['cookie'],
        secret: null,
        allowPrivate: false,
        whenUnreachable: 'refuse',
      },
    })
  })

  test.each([
    [{}, 'access.mode (peerage.yaml:1): the mode webhook needs access.webhook.url'],
    [
      { url: 'http://10.0.0.7/' },
      'access.webhook.url (peerage.yaml:1): must be an https URL, or http on this machine, or access.webhook.allowPrivate must be true',
    ],
    [{ url: 'http://a.example/' }, 'must be an https URL, or http on this machine'],
    [
      { url: 'https://a.example', headers: ['a b'] },
      'access.webhook.headers.0 (peerage.yaml:1): must be the name of a request header',
    ],
    [
      { url: 'https://a.example', headers: Array.from({ length: 17 }, (_, n) => `x-${n}`) },
      'must be at most 16 headers',
    ],
    [{ url: 'https://a.example', whenUnreachable: 'maybe' }, 'must be one of refuse, allow'],
  ])('webhook refuses %j', (settings, expected) => {
    expect(webhook(settings)).toEqual([expect.stringContaining(expected)])
  })
})

describe('rules between apps', () => {
  test('the default app is one of the listed apps', () => {
    expect(problems({ file: 'apps: { chat: {} }' })).toEqual([
      'defaultApp (default): is default, and must be one of apps (chat): set it to the app of peers that name none',
    ])
    expect(problems({ file: 'defaultApp: chat\napps: { chat: {} }' })).toEqual([])
  })

  test('beyond loopback each app needs a rule of its own or of the node, or open', () => {
    const file =
      'host: 0.0.0.0\ndefaultApp: chat\napps:\n  chat: { access: { key: a-shared-key-of-16 } }\n  games: {}\n'
    expect(problems({ file })).toEqual([
      'host (peerage.yaml:1): is beyond loopback, and no rule says who may connect to games: set access or origins of each app. If anybody may, set access: { mode: open } of the app, or open (--open) for all',
    ])
    expect(problems({ file: `${file}  more: {}\n` })).toEqual([
      expect.stringContaining('connect to games, more:'),
    ])
    expect(problems({ file: `${file}open: true\n` })).toEqual([])
    expect(problems({ file: `${file}origins: [https://a.example]\n` })).toEqual([])
    // A section without settings says nothing, so the app has the rule of the node.
    const ruled = `${file}access: { key: another-shared-key }\n`.replace('games: {}', 'games: { access: {} }')
    expect(problems({ file: ruled })).toEqual([])
  })

  test('an app that says itself that it is open needs no other rule, and others still do', () => {
    const file =
      'host: 0.0.0.0\ndefaultApp: lab\napps:\n  lab: { access: { mode: open } }\n  chat: { access: { key: a-shared-key-of-16 } }\n'
    expect(problems({ file })).toEqual([])
    expect(problems({ file: `${file}  games: {}\n` })).toEqual([
      expect.stringContaining('no rule says who may connect to games:'),
    ])
    // The node says it for all apps, also for those that are added later.
    expect(problems({ file: 'host: 0.0.0.0\naccess: { mode: open }\napps: { default: {} }\n' })).toEqual([
      expect.stringContaining('no rule says who may connect to default:'),
    ])
  })

  test('a key of PeerJS stands for one app, and for one that is served', () => {
    const apps = 'apps:\n  default: { peerjsKeys: [a] }\n  games: { peerjsKeys: [b, a] }\n'
    expect(problems({ file: apps })).toEqual([
      'apps.games.peerjsKeys (peerage.yaml:3): has the key 2 that apps.default.peerjsKeys has already: a key of PeerJS stands for one app',
    ])
    expect(problems({ file: 'peerjs: { key: a }\napps:\n  default: { peerjsKeys: [a] }\n' })).toEqual([
      expect.stringMatching(/^apps\.default\.peerjsKeys .*: has the key 1 that peerjs\.key has already/),
    ])
    expect(problems({ file: 'peerjs: { key: { k: other } }\napps: { default: {} }\n' })).toEqual([
      'peerjs.key (peerage.yaml:1): stands for the app other with the key k, which is not served: list it in apps',
    ])
    const token = { mode: 'token', token: { algorithms: ['ES256'], jwks: 'https://a.example' } }
    const mapped = JSON.stringify({ peerjs: { key: { k: 'other' } }, access: token })
    expect(problems({ file: mapped })).toEqual([expect.stringContaining('the app other with the key k')])
    expect(problems({ file: 'peerjs: { key: { k: other } }' })).toEqual([])
  })

  test('a key of the API stands for one app, and the port of the API needs a key', () => {
    const key = 'a-key-of-the-API-with-24-letters'
    const file = `apps:\n  default: { api: { keys: [${key}] } }\n  games: { api: { keys: [${key}] } }\n`
    const found = problems({ file })
    expect(found).toEqual([
      'apps.games.api.keys (peerage.yaml:3): has a key of default: a key of the API says which app is meant, so each app needs its own',
    ])
    expect(
      problems({
        file: `api: { keys: [${key}] }\napps:\n  default: {}\n  games: { api: { keys: [${key}] } }\n`,
      }),
    ).toEqual([expect.stringContaining('has a key of default')])
    expect(problems({ flags: { 'api.port': 9_300 } })).toEqual([
      'api.port (--api.port): needs a key: set api.keys, or the api.keys of an app',
    ])
    expect(problems({ flags: { 'api.port': 9_300 }, file: file.split('\n').slice(0, 2).join('\n') })).toEqual(
      [],
    )
    expect(problems({ flags: { 'api.port': 9_000, 'api.keys': [key] } })).toEqual([
      'api.port (--api.port): must differ from port (9000)',
    ])
  })
})

test.each([
  ['port: *nope', 'port (peerage.yaml:1): cannot be read: Unresolved alias'],
  ['apps:\n  default: *nope', 'apps.default (peerage.yaml:2): must be a mapping'],
  ['origins: [*nope]', 'origins (peerage.yaml:1): cannot be read: Unresolved alias'],
  ['origins: &o [*o]', 'origins (peerage.yaml:1): cannot be read: '],
  ['api: { keys: &o [*o] }', 'api.keys (peerage.yaml:1): cannot be read: '],
])('a file with a broken anchor is a problem with its line, and no exception: %s', (file, expected) => {
  expect(problems({ file })).toEqual([expect.stringContaining(expected)])
})

test('a file whose anchors multiply is refused, and costs nothing', () => {
  const level = (name: string, of: string): string => `&${name} [${Array(10).fill(of).join()}]`
  const file = `origins: ${level('a', 'x')}\ntrustedProxies: ${level('b', '*a')}\nhost: ${level('c', '*b')}\npath: ${level('d', '*c')}\n`
  expect(problems({ file }).join()).toContain('path (peerage.yaml:4): cannot be read: Excessive alias count')
})

test('a list that contains itself is refused as any other wrong value', () => {
  const list: unknown[] = []
  list.push(list)
  const options: unknown = { origins: list, api: { keys: list } }
  expect(() => checkOptions(options as PeerageOptions)).toThrow(TypeError)
})

test('whatever an application passes as apps is taken, or refused with a TypeError', () => {
  const secret = { withBoxedValues: true, withNullPrototype: true, maxDepth: 4 }
  const section = fc.dictionary(
    fc.constantFrom('access', 'origins', 'limits', 'api', '__proto__', 'x'),
    fc.anything(secret),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.anything(secret),
        fc.dictionary(fc.constantFrom('default', 'constructor', 'a.b', ''), section),
      ),
      (apps) => {
        try {
          checkOptions({ apps } as PeerageOptions)
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
          expect(String(error)).toMatch(/^TypeError: options: /)
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('the file of docs/server.md has no mistake, and at most fifteen lines', () => {
  const document = readFileSync(new URL('../../../../docs/server.md', import.meta.url), 'utf8')
  const [, file = ''] = /```yaml\n(host: [^`]*)```/.exec(document) ?? []
  expect(file.trimEnd().split('\n').length).toBeLessThanOrEqual(15)
  const files = { '/run/secrets/chat-api': 'x'.repeat(24), '/run/secrets/games-key': 'x'.repeat(16) }
  expect(problems({ file, files })).toEqual([])
})
