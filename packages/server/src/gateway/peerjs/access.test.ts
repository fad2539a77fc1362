import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ConfigInput } from '../../config/schema.js'
import {
  appOf,
  closeFixtures,
  eventually,
  startFixture,
  takenAnswer,
  type Fixture,
  type FixtureOptions,
} from '../../testing/peerjs-fixture.js'
import { SECRET, sign } from '../../testing/tokens.js'
import type { AccessDecision } from '../shared/access.js'
import type { RevocationCheck } from '../shared/claimer.js'

afterEach(closeFixtures)

/** No pings, because the clock of the test jumps. */
const quiet = { pingIntervalMs: 10_000_000, aliveMs: 100_000_000 }
const access: ConfigInput['access'] = { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } }
const settings: ConfigInput = {
  defaultApp: 'chat',
  apps: {
    chat: { access, discovery: true, peerjsKeys: ['chat-key'] },
    games: { access, peerjsKeys: ['games-key'], limits: { app: { connections: 1 } } },
  },
}

interface TokenFixture extends Fixture {
  token: (claims?: Record<string, unknown>) => Promise<string>
  open: (of: { id: string; token?: string; key?: string }) => Promise<PeerJsPeer>
  refused: Fixture['refused']
  refusal: (of: { id: string; token?: string; key?: string }) => Promise<string>
}

async function startTokens(more: FixtureOptions = {}): Promise<TokenFixture> {
  const time = new FakeClock()
  const fixture = await startFixture({ settings, time, ...quiet, ...more })
  return {
    ...fixture,
    token: (claims = {}) =>
      sign({ sub: 'alice', aud: 'chat', exp: Math.floor(time.now() / 1_000) + 60, ...claims }),
    open: async (of) => {
      const peer = await PeerJsPeer.open({ url: fixture.url, ...of })
      return peer
    },
    refusal: async (of) => {
      const peer = new PeerJsPeer({ url: fixture.url, ...of })
      const { code } = await peer.ended()
      return `${code} ${peer.frames.join('')}`
    },
  }
}

const errorOf = (msg: string): string => `1005 ${JSON.stringify({ type: 'ERROR', payload: { msg } })}`

describe('where a PeerJS client puts its access token', () => {
  test('[PJ18] in the token before a ~, alone as the token, or as the key', async () => {
    const { open, token, node } = await startTokens()
    const jwt = await token()
    for (const way of [{ token: `${jwt}~own` }, { token: jwt }, { key: jwt, token: 'own' }]) {
      const peer = await open({ id: 'alice', ...way })
      await peer.close()
      await eventually('gone', () => node.sessions.onlineCount === 0)
    }
  })

  test('[PJ18] the key selects the app, and a token as the key selects the app that it is for', async () => {
    const { open, token, node, refusal } = await startTokens()
    const forGames = await token({ aud: ['unknown', 'games'], sub: 'bob' })
    const byKey = await open({ id: 'bob', key: 'games-key', token: `${forGames}~own` })
    expect([...node.sessions.allOnline()].map(({ peer }) => peer)).toEqual(['games/bob'])
    await byKey.close()
    await eventually('gone', () => node.sessions.onlineCount === 0)
    await open({ id: 'bob', key: forGames, token: 'own' })
    expect([...node.sessions.allOnline()].map(({ peer }) => peer)).toEqual(['games/bob'])
    expect(await refusal({ id: 'bob', key: 'chat-key', token: `${forGames}~own` })).toContain(
      'Invalid token provided: ',
    )
  })

  test('[PJ19] after a ~ the own secret takes the id back, also with the next access token', async () => {
    const { open, token, clock } = await startTokens()
    const first = await open({ id: 'alice', token: `${await token()}~own` })
    await clock.advance(1_000)
    const next = await open({ id: 'alice', token: `${await token({ jti: 'next' })}~own` })
    expect(await first.ended()).toMatchObject({ code: 4500 })
    expect(next.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[PJ19] with another own secret, or with that of another identity, the id is taken', async () => {
    const fixture = await startTokens()
    const { open, token, url } = fixture
    const claim = { names: ['alice'] }
    await open({ id: 'alice', token: `${await token()}~own` })
    for (const other of [
      `${await token()}~another`,
      await token(),
      `${await token({ sub: 'bob', peerage: { claim } })}~own`,
    ]) {
      const peer = new PeerJsPeer({ url, id: 'alice', token: other })
      await takenAnswer(fixture, peer)
    }
  })

  test('[PJ19] [I9] alone, a token for exactly this name takes it back, and a token for several names does not', async () => {
    const fixture = await startTokens()
    const { open, token, url } = fixture
    const old = await open({ id: 'alice', token: await token() })
    await open({ id: 'alice', token: await token({ jti: 'next' }) })
    expect(await old.ended()).toMatchObject({ code: 4500 })
    const several = await token({ sub: 'bob', peerage: { claim: { names: ['bob', 'phone'] } } })
    await open({ id: 'phone', token: several })
    await takenAnswer(fixture, new PeerJsPeer({ url, id: 'phone', token: several }))
  })

  test('[PJ19] nobody can present the secret that the node derives', async () => {
    const fixture = await startFixture()
    const claims = vi.spyOn(fixture.node, 'claim')
    for (const token of ['\0own x', '\u0001', '\u007fx']) {
      const peer = new PeerJsPeer({ url: fixture.url, id: 'a', token })
      await peer.ended()
      expect(peer.frames[0]).toContain('No id, token, or key supplied')
    }
    expect(claims).not.toHaveBeenCalled()
  })
})

describe('what a refused client is told', () => {
  test('[PJ20] the ERROR begins with the words of `peer`, and says which rule refused', async () => {
    const { token, refusal, refused } = await startTokens()
    const expired = await token({ exp: 1 })
    const old = await refusal({ id: 'alice', token: `${expired}~own` })
    expect(old).toBe(errorOf('Invalid token provided: the token has expired; get a new one'))
    expect(await refusal({ id: 'alice', token: 'made-up' })).toMatch(
      /^1005 \{"type":"ERROR","payload":\{"msg":"Invalid token provided: [^"]+"\}\}$/,
    )
    expect(await refusal({ id: 'alice', key: expired, token: 'own' })).toContain('Invalid key provided: ')
    expect(await refusal({ id: 'bob', token: `${await token()}~own` })).toBe(
      errorOf('Invalid token provided: the token does not allow this name'),
    )
    const told = JSON.stringify(refused)
    expect(told).not.toContain(expired)
    expect(told).not.toContain('made-up')
  })

  test('[PJ20] a token as the key is told why it was refused, also where any key is served', async () => {
    const { token, refusal, open } = await startTokens({ settings: { access, peerjs: { key: '*' } } })
    const told = await refusal({ id: 'alice', key: await token({ aud: 'default', exp: 1 }), token: 'own' })
    expect(told).toContain('Invalid token provided: the token has expired')
    await open({ id: 'alice', key: await token({ aud: 'default' }), token: 'own' })
  })

  test('[PJ20] [WH13] a banned client is told so in the words of `peer`', async () => {
    const ban = { ok: false, code: 'banned', detail: 'this user is banned', retryAfterMs: 5_000 } as const
    const api = { keys: ['k'.repeat(24)] }
    const { token, refusal } = await startTokens({
      settings: { apps: { chat: { access, api } }, defaultApp: 'chat' },
      revocations: { check: () => Promise.resolve(ban) },
    })
    const told = await refusal({ id: 'alice', token: `${await token()}~own` })
    expect(told).toBe(errorOf('Invalid token provided: this user is banned'))
  })

  test('[PJ13] [ASVS 4.4.2] a page of an origin that only another app lists gets an ERROR', async () => {
    const { url } = await startTokens({
      settings: {
        apps: { chat: { origins: ['https://chat.example'] }, games: { origins: ['https://games.example'] } },
        defaultApp: 'chat',
      },
    })
    const page = new PeerJsPeer({ url, id: 'a', headers: { origin: 'https://games.example' } })
    await page.ended()
    expect(page.frames).toEqual(['{"type":"ERROR","payload":{"msg":"this origin may not connect"}}'])
    const listing = await fetch(`${url}/peerjs/id`, { headers: { origin: 'https://evil.example' } })
    expect(listing.status).toBe(403)
  })

  test('[PJ20] if the access rules cannot be asked, the client is closed with 4009 and without an ERROR', async () => {
    const down: AccessDecision = {
      ok: false,
      code: 'access-unavailable',
      detail: 'the keys cannot be fetched',
    }
    const admit = vi.fn(() => Promise.resolve(down))
    const { refusal } = await startTokens({ access: { admit } })
    expect(await refusal({ id: 'alice', token: 'x~own', key: 'chat-key' })).toBe('4009 ')
    expect(admit).toHaveBeenCalledOnce()
  })

  test('[PJ21] an app that has all its connections on this node closes with 4006', async () => {
    const { open, token, refusal, node } = await startTokens()
    const bearer = async (id: string) => ({
      id,
      key: 'games-key',
      token: `${await token({ sub: id, aud: 'games' })}~own`,
    })
    const first = await open(await bearer('a'))
    expect(await refusal(await bearer('b'))).toBe('4006 ')
    await open({ id: 'alice', key: 'chat-key', token: `${await token()}~own` })
    await first.close()
    await eventually('gone', () => node.sessions.onlineCount === 1)
    await open(await bearer('b'))
  })
})

describe('what a token grants', () => {
  test('[PJ22] a message to an id that is not granted gets an EXPIRE, and nothing is looked up', async () => {
    const { open, token, node } = await startTokens()
    const alice = await open({ id: 'alice', token: await token({ peerage: { to: { names: ['bob'] } } }) })
    const bob = await open({ id: 'bob', token: await token({ sub: 'bob' }) })
    const route = vi.spyOn(node.router, 'route')
    alice.send(offer('carol'))
    expect(await alice.next('EXPIRE')).toMatchObject({
      type: 'EXPIRE',
      src: 'carol',
      dst: 'alice',
      payload: { msg: 'the access rules do not allow this' },
    })
    expect(route).not.toHaveBeenCalled()
    alice.send(offer('bob'))
    await bob.next('OFFER')
  })

  test('[PJ23] when its token ends a client is closed with 4504, and its id waits for it', async () => {
    const { open, token, clock, node } = await startTokens()
    const alice = await open({ id: 'alice', token: `${await token()}~own` })
    const bob = await open({ id: 'bob', token: await token({ sub: 'bob', exp: clock.now() / 1_000 + 600 }) })
    // Until 30 s after its end, the token would be taken again.
    await clock.advance(89_500)
    alice.send(offer('bob'))
    await bob.next('OFFER')
    await clock.advance(11_000)
    expect(await alice.ended()).toEqual({ code: 4504, reason: 'the access token is no longer valid' })
    await eventually('away', () => node.sessions.onlineCount === 1)
    const again = await open({ id: 'alice', token: `${await token()}~own` })
    expect(again.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[PJ12] an app without discovery, and a token that forbids it, list no ids', async () => {
    const { open, token, url } = await startTokens()
    await open({ id: 'alice', token: await token() })
    const list = async (key: string) => {
      const answer = await fetch(`${url}/${key}/peers`)
      return `${answer.status} ${await answer.text()}`
    }
    expect(await list(await token())).toBe('200 ["alice"]')
    expect(await list(await token({ peerage: { discovery: false } }))).toBe('401 Unauthorized')
    expect(await list(await token({ aud: 'games' }))).toBe('401 Unauthorized')
    expect(await list('chat-key')).toBe('401 Unauthorized')
    expect(await list(await token({ exp: 1 }))).toBe('401 Unauthorized')
  })

  test('[PJ12] a token that is banned or revoked lists no ids', async () => {
    const check = vi.fn<RevocationCheck['check']>(() => Promise.resolve({ ok: true }))
    const { chat, games } = settings.apps ?? {}
    const withApi: ConfigInput = {
      ...settings,
      apps: { chat: { ...chat, api: { keys: ['a-key-of-24-characters-or-more'] } }, games: { ...games } },
    }
    const { token, url } = await startTokens({ settings: withApi, revocations: { check } })
    const list = async () => (await fetch(`${url}/${await token({ jti: 'j' })}/peers`)).status
    expect(await list()).toBe(200)
    expect(check).toHaveBeenLastCalledWith('chat', { identity: 'alice', tokenId: 'j' })
    check.mockResolvedValue({ ok: false, code: 'bad-token', detail: 'the token was revoked' })
    expect(await list()).toBe(401)
    check.mockResolvedValue({ ok: false, code: 'access-unavailable', detail: 'the bans cannot be read' })
    expect(await list()).toBe(503)
  })

  test('[PJ24] an application server’s close has its code and text, and no ERROR', async () => {
    const { open, token, node } = await startTokens()
    const alice = await open({ id: 'alice', token: await token() })
    await node.disconnects.disconnect(appOf('chat'), { name: 'alice' as never }, { code: 4_950, text: 'bye' })
    expect(await alice.ended()).toEqual({ code: 4_950, reason: 'bye' })
    expect(alice.frames).toEqual(['{"type":"OPEN"}'])
  })
})
