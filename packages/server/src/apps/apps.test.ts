import { parseApp, type App } from '@peerage/protocol'
import { describe, expect, test } from 'vitest'
import type { AccessSettings, AppAccess } from '../access/app-access.js'
import { configSchema, type ConfigInput } from '../config/schema.js'
import type { AdmitRequest } from '../gateway/shared/access.js'
import { appsOf } from '../testing/apps.js'
import { Apps } from './apps.js'

function app(text: string): App {
  const parsed = parseApp(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

const KEY = 'a-shared-key-of-all-peers'
const ORIGIN = 'https://app.example'
const TOKEN: ConfigInput['access'] = {
  mode: 'token',
  token: { algorithms: ['HS256'], secret: 'x'.repeat(32) },
}

/** What the rules of an app say. Undefined: the app is not served. */
async function admit(settings: ConfigInput, request: Partial<AdmitRequest> = {}) {
  const apps = appsOf(settings)
  const of = request.app ?? apps.defaultApp
  return apps.of(of)?.admit({ wire: 'native', address: '192.0.2.1', ...request, app: of })
}

const forbidden = (detail: string) => ({ ok: false, code: 'forbidden', detail })

/** Apps whose access rules are only recorded. */
function recorded(input: ConfigInput) {
  const made: string[] = []
  const stopped: string[] = []
  const makeAccess = (of: App, settings: AccessSettings): AppAccess => {
    const id = `${of} ${settings.mode}`
    if (settings.mode === 'webhook') throw new Error('no webhooks here')
    made.push(id)
    return {
      admit: () => Promise.resolve({ ok: true, app: of, identity: id }),
      stop: () => void stopped.push(id),
    }
  }
  const apps = new Apps({ config: configSchema.parse(input), makeAccess })
  return { apps, made, stopped, replace: (next: ConfigInput) => apps.replace(configSchema.parse(next)) }
}

describe('without rules', () => {
  test('every peer comes in without an identity, into the default app or the app that it names', async () => {
    expect(await admit({})).toEqual({ ok: true, app: 'default' })
    expect(await admit({ defaultApp: 'main' })).toEqual({ ok: true, app: 'main' })
    expect(await admit({}, { app: app('chess'), origin: 'https://evil.example', token: 'x' })).toEqual({
      ok: true,
      app: 'chess',
    })
  })

  test('an app that is called like a property of every object is an app like the others', async () => {
    expect(await admit({}, { app: app('constructor') })).toEqual({ ok: true, app: 'constructor' })
    expect(await admit({ apps: { default: {} } }, { app: app('constructor') })).toBeUndefined()
    const listed = Object.fromEntries([
      ['default', {}],
      ['constructor', { taken: 'replace' as const }],
    ])
    const apps = appsOf({ apps: listed })
    expect(apps.of(app('constructor'))).toMatchObject({ app: 'constructor', taken: 'replace' })
  })
})

describe('with a shared key', () => {
  test('a peer with the key comes in with an identity, and no other peer comes in', async () => {
    const settings = { access: { key: KEY } }
    expect(await admit(settings, { token: KEY })).toEqual({
      ok: true,
      app: 'default',
      identity: 'shared-key',
    })
    for (const token of ['', KEY.slice(0, -1), `${KEY} `, KEY.toUpperCase()])
      expect(await admit(settings, { token })).toEqual(forbidden('the token is missing or wrong'))
    expect(await admit(settings)).toEqual(forbidden('the token is missing or wrong'))
  })

  test.each(['y-webrtc', 'webtorrent', 'trystero', 'matchbox'] as const)(
    '[UW2] a refused peer of %s is told where its key belongs',
    async (wire) => {
      expect(await admit({ access: { key: KEY } }, { wire })).toEqual(
        forbidden('the key is missing or wrong: the URL needs it, as ?key=…'),
      )
    },
  )

  test('the previous key lets peers in as well, while it is there', async () => {
    const settings = { access: { key: KEY, previousKey: 'the-key-of-last-year' } }
    expect(await admit(settings, { token: 'the-key-of-last-year' })).toMatchObject({ ok: true })
    expect(await admit(settings, { token: KEY })).toMatchObject({ ok: true })
    expect(await admit(settings, { token: 'the-key-of-next-year' })).toMatchObject({ ok: false })
  })
})

describe('with an Origin allow-list', () => {
  test('a program that sends no Origin needs the key', async () => {
    expect(await admit({ origins: [ORIGIN] }, { origin: ORIGIN })).toEqual({ ok: true, app: 'default' })
    expect(await admit({ origins: [ORIGIN] })).toEqual(
      forbidden(
        "only pages of this app's origins may connect: for programs the app needs access.key as well",
      ),
    )
    expect(await admit({ origins: [ORIGIN] }, { token: 'made up' })).toMatchObject({ ok: false })
    const both = { origins: [ORIGIN], access: { key: KEY } }
    expect(await admit(both, { token: KEY })).toMatchObject({ ok: true })
    expect(await admit(both)).toMatchObject({ ok: false })
  })

  test('the upgrade is open to the origins of all apps together, and the claim to those of one', () => {
    const settings: ConfigInput = {
      defaultApp: 'chat',
      apps: { chat: { origins: [ORIGIN] }, games: { origins: ['https://games.example'] } },
    }
    const apps = appsOf(settings)
    expect(
      [ORIGIN, 'https://games.example', 'https://evil.example'].map((origin) => apps.mayConnect(origin)),
    ).toEqual([true, true, false])
    expect(apps.of(app('games'))?.origins).toEqual(['https://games.example'])
    const open = appsOf({ ...settings, apps: { ...settings.apps, open: {} } })
    expect(open.mayConnect('https://evil.example')).toBe(true)
  })
})

describe('listed apps', () => {
  test('are served, and no others, not even the default app', async () => {
    const apps = { default: {}, chess: {} }
    expect(await admit({ apps }, { app: app('chess') })).toMatchObject({ ok: true, app: 'chess' })
    expect(await admit({ apps }, { app: app('poker') })).toBeUndefined()
    expect(await admit({ apps: { chess: {} } })).toBeUndefined()
  })

  test('inherit limits and relay key by key, and access, origins and TURN as a whole', () => {
    const turn = { urls: ['turn:a'], secret: 'a', ttlMs: 60_000 }
    const apps = appsOf({
      defaultApp: 'chat',
      origins: [ORIGIN],
      taken: 'replace',
      limits: { connection: { messagesPerSecond: 5, lookupsPerSecond: 7 }, app: { connections: 9 } },
      relay: { bytesPerSecond: 1_000 },
      p2p: { turn },
      peerjs: { allowDiscovery: true },
      apps: {
        chat: {},
        games: {
          origins: [],
          taken: 'refuse',
          limits: { connection: { lookupsPerSecond: 0 } },
          relay: { messageBytes: 10 },
          turn: { urls: ['turn:b'], secret: 'b' },
          discovery: false,
        },
        quiet: { relay: { enabled: false } },
      },
    })
    const inherited = apps.of(app('chat'))
    expect(inherited).toMatchObject({
      label: 'chat',
      origins: [ORIGIN],
      taken: 'replace',
      limits: { connection: { messagesPerSecond: 5, lookupsPerSecond: 7 }, app: { connections: 9 } },
      relay: { bytesPerSecond: 1_000 },
      turn,
      discovery: true,
      indexed: true,
      hasApi: false,
    })
    expect(apps.of(app('games'))).toMatchObject({
      origins: [],
      taken: 'refuse',
      limits: { connection: { messagesPerSecond: 5, lookupsPerSecond: 0 }, app: { connections: 9 } },
      relay: { bytesPerSecond: 1_000, messageBytes: 10 },
      turn: { urls: ['turn:b'], secret: 'b', ttlMs: 300_000 },
      discovery: false,
      indexed: false,
    })
    expect(apps.of(app('quiet'))?.relay).toBeNull()
    expect(apps.of(app('other'))).toBeUndefined()
    expect(apps.all().map((policy) => policy.app)).toEqual(['chat', 'games', 'quiet'])
  })

  test('have keys of the API of their own, and the keys of the node are those of the default app', () => {
    const nodes = 'a-key-of-the-node-with-24-letters'
    const own = 'a-key-of-the-games-with-24-letters'
    const listed = appsOf({
      defaultApp: 'chat',
      api: { keys: [nodes] },
      apps: { chat: {}, games: { api: { keys: [own] } }, quiet: {} },
    })
    expect([...listed.apiKeys()]).toEqual([
      ['chat', [nodes]],
      ['games', [own]],
    ])
    expect(listed.all().map(({ hasApi, indexed }) => [hasApi, indexed])).toEqual([
      [true, true],
      [true, true],
      [false, false],
    ])
    const none = appsOf({ api: { keys: [nodes] } })
    expect([...none.apiKeys()]).toEqual([['default', [nodes]]])
    expect(none.of(app('other'))?.hasApi).toBe(false)
  })
})

describe('if no app is listed', () => {
  test('any app is served while its access costs nothing, and only the default app with tokens', async () => {
    const open = recorded({ access: { key: KEY } })
    expect(open.apps.of(app('any'))).toMatchObject({ app: 'any', label: 'other' })
    expect(open.apps.of(app('default'))).toMatchObject({ label: 'default' })
    // A budget of an app that peers choose would keep nobody out.
    for (const name of ['any', 'default'])
      expect(open.apps.of(app(name))?.limits.app).toMatchObject({ connections: 0, messagesPerSecond: 0 })
    const closed = recorded({ access: TOKEN })
    expect(closed.apps.of(app('any'))).toBeUndefined()
    expect(closed.made).toEqual(['default token'])
  })

  test('a stranger that names many apps makes the node keep a bounded number of them', () => {
    const { apps, made, stopped } = recorded({})
    for (let i = 0; i < 3_000; i++) apps.of(app(`app-${i}`))
    expect(made.length - stopped.length).toBeLessThanOrEqual(1_001)
    const last = apps.of(app('app-2999'))
    expect(apps.of(app('app-2999'))).toBe(last)
  })
})

describe('labels in metrics', () => {
  test('are the names of at most 100 listed apps, over all reloads', () => {
    const listOf = (prefix: string, count: number): ConfigInput => ({
      defaultApp: `${prefix}-0`,
      apps: Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}-${index}`, {}])),
    })
    const { apps, replace } = recorded(listOf('a', 60))
    replace(listOf('b', 60))
    const labels = apps.all().map(({ label }) => label)
    expect(labels.filter((label) => label !== 'other')).toHaveLength(40)
    expect(labels.at(-1)).toBe('other')
    expect([apps.labelOf(app('b-0')), apps.labelOf(app('a-0'))]).toEqual(['b-0', 'other'])
  })
})

describe('keys of PeerJS', () => {
  test('stand for an app, and the key of the node for that of a peer that names none', () => {
    const apps = appsOf({ defaultApp: 'chat', apps: { chat: {}, games: { peerjsKeys: ['games-key'] } } })
    expect(apps.appOfKey('peerjs')).toEqual({ ok: true, app: undefined, isSecret: false })
    expect(apps.appOfKey('games-key')).toEqual({ ok: true, app: 'games', isSecret: true })
    for (const key of ['other', 'v1', 'peerage', 'toString', ''])
      expect(apps.appOfKey(key)).toEqual({ ok: false })
  })

  test('may be a mapping, or any', () => {
    const mapped = appsOf({ peerjs: { key: { red: 'a', peerjs: 'b' } } })
    expect(mapped.appOfKey('red')).toEqual({ ok: true, app: 'a', isSecret: true })
    expect(mapped.appOfKey('peerjs')).toEqual({ ok: true, app: 'b', isSecret: false })
    expect(mapped.appOfKey('blue')).toEqual({ ok: false })
    const any = appsOf({ peerjs: { key: '*' }, apps: { default: {}, games: { peerjsKeys: ['games-key'] } } })
    expect(any.appOfKey('whatever')).toEqual({ ok: true, app: undefined, isSecret: false })
    expect(any.appOfKey('games-key')).toMatchObject({ ok: true, app: 'games' })
    expect(any.appOfKey('v1')).toEqual({ ok: false })
  })

  test('may be the shared key of an app, which stands for that app alone', () => {
    const [previousKey, other] = ['the-key-of-last-year', 'a-key-that-two-apps-share']
    const apps = appsOf({
      defaultApp: 'chat',
      access: { key: other },
      apps: { chat: {}, more: {}, games: { access: { key: KEY, previousKey } } },
    })
    expect(apps.appOfKey(KEY)).toEqual({ ok: true, app: 'games', isSecret: true })
    expect(apps.appOfKey(previousKey)).toEqual({ ok: true, app: 'games', isSecret: true })
    expect(apps.appOfKey(other)).toEqual({ ok: true, app: undefined, isSecret: true })
  })
})

describe('replace', () => {
  const former: ConfigInput = {
    defaultApp: 'chat',
    apps: { chat: { access: TOKEN }, games: { access: { key: KEY } }, old: {} },
  }

  test('keeps the access rule of an app whose access has not changed, and ends the others', async () => {
    const { apps, made, stopped, replace } = recorded(former)
    const before = apps.of(app('chat'))
    made.length = 0
    replace({
      defaultApp: 'chat',
      taken: 'replace',
      apps: { chat: { access: TOKEN }, games: { access: { key: `${KEY}2` } }, added: {} },
    })
    expect(made).toEqual(['games key', 'added open'])
    expect(stopped).toEqual(['games key', 'old open'])
    expect(apps.of(app('old'))).toBeUndefined()
    expect(before?.taken).toBe('refuse')
    expect(apps.of(app('chat'))?.taken).toBe('replace')
  })

  test('with a rule that cannot be made keeps everything as it was, and tells nobody', () => {
    const { apps, made, stopped, replace } = recorded(former)
    let told = 0
    apps.onReplaced(() => told++)
    made.length = 0
    const webhook = { mode: 'webhook', webhook: { url: 'https://a.example' } } as const
    expect(() => replace({ defaultApp: 'chat', apps: { chat: {}, added: { access: webhook } } })).toThrow(
      'no webhooks here',
    )
    expect([made, stopped]).toEqual([['chat open'], ['chat open']])
    expect(apps.all().map((policy) => policy.app)).toEqual(['chat', 'games', 'old'])
    expect(told).toBe(0)
  })

  test('tells its listeners afterwards, until they leave', () => {
    const { apps, replace } = recorded(former)
    const seen: string[] = []
    const leave = apps.onReplaced(() => void seen.push(apps.defaultApp))
    replace({ defaultApp: 'next', apps: { next: {} } })
    leave()
    replace(former)
    expect(seen).toEqual(['next'])
  })

  test('and stop end every access rule once', () => {
    const { apps, made, stopped, replace } = recorded(former)
    replace({})
    apps.of(app('any'))
    apps.stop()
    expect(stopped.toSorted()).toEqual(made.toSorted())
  })
})
