import { systemClock } from '@peerage/core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createOutbound, type Address } from '../access/outbound.js'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { pairs } from '../testing/tokens.js'
import { json, webServer } from '../testing/web-server.js'
import type { Finding } from './doctor-checks.js'
import { checkAccess, checkEntrance, checkSecretFiles } from './doctor-access.js'

const HMAC = 'a secret of at least thirty-two bytes'
const lines = (findings: readonly Finding[]): string[] =>
  findings.map(({ verdict, subject, text }) => `${verdict} ${subject}: ${text}`)

describe('who may come in', () => {
  const entrance = (config: ConfigInput): string[] => lines(checkEntrance(configSchema.parse(config)))
  const beyond = { host: '0.0.0.0', open: true }

  test.each<[ConfigInput, string]>([
    [{}, 'ok entrance: only this machine'],
    [beyond, 'warn entrance: open: everybody who reaches 0.0.0.0 may claim names; set access.key or origins'],
    [
      { ...beyond, access: { key: 'a-shared-key-of-16' }, origins: ['https://chat.example'] },
      'ok entrance: a shared key; only pages of https://chat.example',
    ],
    [
      { ...beyond, access: { mode: 'token', token: { algorithms: ['HS256'], secret: HMAC } } },
      'ok entrance: a signed token',
    ],
    [
      { ...beyond, access: { mode: 'webhook', webhook: { url: 'https://hook.example' } } },
      'ok entrance: a webhook decides',
    ],
  ])('%j', (config, line) => {
    expect(entrance(config)).toEqual([line])
  })

  test('apps with the same rule share a line, which names at most ten of them', () => {
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`app-${i}`, {}]))
    const apps = { ...many, chat: { origins: ['https://chat.example'] }, games: { access: { key: HMAC } } }
    expect(entrance({ ...beyond, apps, defaultApp: 'chat' })).toEqual([
      `warn entrance: ${Array.from({ length: 10 }, (_, i) => `app-${i}`).join(', ')} and 2 more: open: everybody who reaches 0.0.0.0 may claim names; set access or origins of the app`,
      'ok entrance: chat: only pages of https://chat.example',
      'ok entrance: games: a shared key',
    ])
  })
})

describe('the servers that decide about access', () => {
  async function access(
    config: ConfigInput,
    lookup: (host: string) => Promise<Address[]> = () => Promise.reject(new Error('ENOTFOUND')),
  ): Promise<string[]> {
    const outbound = createOutbound({ clock: systemClock, lookup })
    onTestFinished(() => outbound.stop())
    return lines(await checkAccess(configSchema.parse(config), { outbound, lookup }))
  }
  const byKeys = (jwks: string, algorithms: ('ES256' | 'RS256')[] = ['ES256']) => ({
    access: { mode: 'token', token: { algorithms, jwks } } as const,
  })
  const byHook = (url: string, more: { allowPrivate?: boolean } = {}) => ({
    access: { mode: 'webhook', webhook: { url, ...more } } as const,
  })
  const publicKey = (algorithm: 'ES256' | 'RS256' | 'EdDSA', kid: string) => ({
    ...pairs[algorithm].publicKey.export({ format: 'jwk' }),
    kid,
  })

  test('an app that needs none has no line', async () => {
    expect(await access({})).toEqual([])
    const token = { algorithms: ['HS256' as const], secret: HMAC }
    expect(await access({ access: { mode: 'token', token } })).toEqual([])
  })

  test('a JWKS is fetched once for all its apps, and its fitting keys are counted', async () => {
    const keys = [publicKey('ES256', 'a'), publicKey('ES256', 'b'), publicKey('RS256', 'c')]
    const server = await webServer(json({ keys }))
    const url = `${server.url}keys.json?secret=1`
    const settings = { apps: { chat: byKeys(url), games: byKeys(url) }, defaultApp: 'chat' }
    expect(await access(settings)).toEqual([
      `ok access: chat, games: the JWKS at ${server.url}keys.json has 2 keys for ES256`,
    ])
    expect(server.count).toBe(1)
    expect(await access(byKeys(url, ['ES256', 'RS256']))).toEqual([
      `ok access: default: the JWKS at ${server.url}keys.json has 3 keys for ES256 or RS256`,
    ])
  })

  test('a JWKS without a key for the algorithms of the app is a failure', async () => {
    const server = await webServer(json({ keys: [publicKey('EdDSA', 'a')] }))
    expect(await access(byKeys(server.url))).toEqual([
      `fail access: default: the JWKS at ${server.url} has no key for ES256, but 1 key for EdDSA: check access.token.algorithms`,
    ])
  })

  test('a JWKS that cannot be fetched is a failure that says why', async () => {
    const server = await webServer((_, response) => void response.writeHead(404).end())
    expect(await access(byKeys(server.url))).toEqual([
      `fail access: default: the JWKS at ${server.url} answered with status 404: until it can be fetched, nobody can come in; check access.token.jwks, and the network from here`,
    ])
    expect(await access(byKeys('https://id.example/keys'))).toEqual([
      expect.stringMatching(
        /^fail access: default: the JWKS at https:\/\/id\.example\/keys cannot be reached: .*ENOTFOUND/,
      ),
    ])
  })

  test('the address of a webhook is looked up, and it is not called', async () => {
    const server = await webServer(json({ allow: true }))
    const [good, bad] = [
      { address: '93.184.215.14', family: 4 },
      { address: '10.0.0.7', family: 4 },
    ]
    const url = `https://hook.example:${server.port}/peers?secret=1`
    const at = `default: the webhook at https://hook.example:${server.port}/peers`
    expect(await access(byHook(url), () => Promise.resolve([good]))).toEqual([
      `ok access: ${at} leads to 93.184.215.14 (it was not called)`,
    ])
    expect(await access(byHook(url), () => Promise.resolve([good, bad]))).toEqual([
      `fail access: ${at} leads to 10.0.0.7, which is not a public address: if that is meant, set access.webhook.allowPrivate`,
    ])
    expect(await access(byHook(url, { allowPrivate: true }), () => Promise.resolve([bad]))).toEqual([
      `ok access: ${at} leads to 10.0.0.7 (it was not called)`,
    ])
    expect(await access(byHook(url))).toEqual([
      `fail access: ${at} cannot be reached: ENOTFOUND: check access.webhook.url, and the name servers of this machine`,
    ])
    expect(server.connections).toBe(0)
  })
})

describe('files of secrets', () => {
  const files = (secretFiles: string[], modes: Record<string, number>, config: ConfigInput = {}): string[] =>
    lines(
      checkSecretFiles(configSchema.parse(config), secretFiles, (path) => {
        const mode = modes[path]
        if (mode === undefined) throw new Error('ENOENT')
        return mode
      }),
    )

  test('that others cannot read are fine, and without files there is nothing to say', () => {
    expect(files([], {})).toEqual([])
    expect(files(['/a'], { '/a': 0o100_600 })).toEqual([
      'ok secrets: other accounts of this machine cannot read the file of a secret',
    ])
    expect(files(['/a', '/b'], { '/a': 0o100_640, '/b': 0o100_400 })).toEqual([
      'ok secrets: other accounts of this machine cannot read the 2 files of secrets',
    ])
  })

  test('that others can read are a warning each, also the private keys of TLS', () => {
    const tls = { cert: '/cert.pem', key: '/key.pem' }
    expect(files(['/a', '/b'], { '/a': 0o100_644, '/b': 0o100_600, '/key.pem': 0o100_604 }, { tls })).toEqual(
      [
        expect.stringMatching(
          /^warn secrets: \/a can be read by every account of this machine: run chmod o-r/,
        ),
        expect.stringMatching(/^warn secrets: \/key\.pem can be read by every account/),
      ],
    )
  })

  test('that are absent are a failure', () => {
    expect(files([], {}, { redis: { key: '/gone.pem' } })).toEqual([
      'fail secrets: /gone.pem cannot be read: ENOENT; check that it exists, and who may read it',
    ])
  })
})
