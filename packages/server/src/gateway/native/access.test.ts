import type { Clock } from '@peerage/core'
import { systemClock } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { appOf } from '../../testing/peerjs-fixture.js'
import { RawPeer, closeNative, startNative, type NativeFixture } from '../../testing/native-fixture.js'
import { unlimited } from '../../testing/unlimited.js'
import type { AdmitRequest, Allowed, CheckedAccess } from '../shared/access.js'
import type { Refused, RevocationCheck } from '../shared/claimer.js'

afterEach(closeNative)

const stream = 'A'.repeat(11)
const app = appOf('default')

/** Access rules by token. A token without an entry is refused. */
function byToken(allowed: Record<string, Partial<Allowed>>): CheckedAccess & { asked: AdmitRequest[] } {
  const asked: AdmitRequest[] = []
  return {
    asked,
    admit: async (request) => {
      asked.push(request)
      const { token = '' } = request
      const known = Object.hasOwn(allowed, token) ? allowed[token] : undefined
      if (known === undefined) return { ok: false, code: 'bad-token', detail: 'the token has no entry' }
      return { ok: true, app, identity: token.slice(0, 1), ...known }
    },
  }
}

async function joined(url: string, hello: Record<string, unknown>): Promise<RawPeer> {
  const peer = new RawPeer(url)
  await peer.claim(hello)
  return peer
}

/** The answer to a request, which has its id. */
async function answer(peer: RawPeer, id: number): Promise<[type: string, fields: Record<string, unknown>]> {
  return JSON.parse((await peer.until((frame) => frame.includes(`"id":${id}`))).slice(2))
}

async function ask(peer: RawPeer, type: string, fields: { id: number; [key: string]: unknown }) {
  peer.send(type, fields)
  return answer(peer, fields.id)
}

describe('what a token grants', () => {
  test('[WH13] a node passes the token, the headers and whether it made the name to the access rules', async () => {
    const access = byToken({ a: { name: 'alice' as never } })
    const { url } = await startNative({ access })
    const peer = new RawPeer(url, { 'X-Place': 'here' })
    expect(await peer.claim({ token: 'a' })).toMatchObject({ name: 'alice' })
    expect(access.asked[0]).toMatchObject({
      token: 'a',
      isNameMade: true,
      headers: expect.objectContaining({ 'x-place': 'here' }),
    })
    expect(await (await joined(url, { token: 'a', name: 'bob' })).event('welcome')).toMatchObject({
      name: 'bob',
    })
  })

  test('[WR13] a message or signal to a name that is not granted gets `forbidden`, and nothing is looked up', async () => {
    const access = byToken({ a: { to: { names: ['bob'], prefixes: ['team-'] } }, b: {} })
    const { url, node, counted } = await startNative({ access })
    const alice = await joined(url, { name: 'alice', token: 'a' })
    const bob = await joined(url, { name: 'bob', token: 'b' })
    const route = vi.spyOn(node.router, 'route')
    const lookup = vi.spyOn(node, 'lookup')
    const send = (to: string, seq: number, kind: string): void =>
      alice.send('send', { to, since: 1, stream, seq, base: 1, kind, body: '"hi"' })
    for (const [seq, kind] of [
      [1, 'message'],
      [2, 'signal'],
    ] as const) {
      send('carol', seq, kind)
      await alice.until((frame) => frame.startsWith('42["notice"') && frame.includes(`"seq":${seq}`))
    }
    expect(alice.frames.filter((frame) => frame.includes('"forbidden"'))).toHaveLength(2)
    for (const [id, type, fields] of [
      [1, 'lookup', { names: ['bob', 'carol'] }],
      [2, 'watch', { names: ['team'] }],
    ] as const) {
      expect(await ask(alice, type, { id, ...fields })).toEqual([
        'error',
        expect.objectContaining({ code: 'forbidden' }),
      ])
    }
    expect([route.mock.calls.length, lookup.mock.calls.length]).toEqual([0, 0])
    expect(await ask(alice, 'lookup', { id: 3, names: ['bob', 'team-1'] })).toMatchObject(['found', {}])
    const [, found] = await answer(alice, 3)
    const [{ since }] = found['peers'] as [{ since: number }]
    alice.send('send', { to: 'bob', since, stream, seq: 3, base: 3, kind: 'message', body: '"hi"' })
    await bob.event('message')
    expect(counted.filter((text) => text === 'app default false')).toHaveLength(4)
    expect(counted.filter((text) => text === 'app default true')).toHaveLength(2)
  })

  test('[WR13] what others send to it, a peer acknowledges, whomever it may send to', async () => {
    const { url } = await startNative({ access: byToken({ a: { to: { names: [] } }, b: {} }) })
    const alice = await joined(url, { name: 'alice', token: 'a' })
    const bob = await joined(url, { name: 'bob', token: 'b' })
    const [, found] = await ask(bob, 'lookup', { id: 1, names: ['alice'] })
    const [{ since }] = found['peers'] as [{ since: number }]
    bob.send('send', { to: 'alice', since, stream, seq: 1, base: 1, kind: 'message', body: '"hi"' })
    await alice.event('message')
    alice.send('ack', { acks: [{ to: 'bob', stream, next: 2 }] })
    expect(await bob.event('acked')).toMatchObject({ from: 'alice', next: 2 })
  })

  test('[WR13] a room that is not granted cannot be joined', async () => {
    const { url } = await startNative({ access: byToken({ a: { rooms: { prefixes: ['lobby-'] } } }) })
    const alice = await joined(url, { name: 'alice', token: 'a' })
    expect(await ask(alice, 'join', { id: 1, room: 'secret' })).toEqual([
      'error',
      expect.objectContaining({ code: 'forbidden', detail: 'the access token does not allow this room' }),
    ])
    expect(await ask(alice, 'join', { id: 2, room: 'lobby-1' })).toMatchObject(['roomed', {}])
  })

  test('[WR13] granted rates lower those of the app, and never raise them', async () => {
    const clock: Clock = { ...systemClock, monotonic: () => 0 }
    const access = byToken({
      a: { limits: { lookupsPerSecond: 2 } },
      b: { limits: { lookupsPerSecond: 1_000 } },
    })
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, lookupsPerSecond: 10 } }
    const { url } = await startNative({ access, clock, limitValues })
    for (const [token, most] of [
      ['a', 4],
      ['b', 20],
    ] as const) {
      const peer = await joined(url, { name: token, token })
      let id = 1
      while ((await ask(peer, 'lookup', { id, names: ['x'] }))[0] === 'found') id++
      expect(id - 1).toBe(most)
    }
  })
})

/** No pings, because the clock of the test jumps. */
const QUIET = { pingIntervalMs: 10_000_000, pingTimeoutMs: 5_000, frameBytes: 65_536, bufferedBytes: 262_144 }

describe('the end of a token', () => {
  async function startEnding(
    allowed: Record<string, Partial<Allowed>>,
    more: Parameters<typeof startNative>[0] = {},
  ): Promise<
    NativeFixture & { clock: FakeClock; access: ReturnType<typeof byToken>; endsAt: (ms: number) => number }
  > {
    const clock = new FakeClock()
    const access = byToken(allowed)
    const fixture = await startNative({ access, clock, engine: QUIET, ...more })
    return { ...fixture, clock, access, endsAt: (ms) => clock.now() + ms }
  }

  test('[WH14] [WC8] the welcome says when the access ends, and then the connection ends within 10 s', async () => {
    const allowed: Record<string, Partial<Allowed>> = { a: {}, b: {} }
    const { url, clock, endsAt, gateway } = await startEnding(allowed)
    allowed['a'] = { endsAt: endsAt(60_000) }
    const alice = new RawPeer(url)
    expect(await alice.claim({ name: 'alice', token: 'a' })).toMatchObject({ tokenMs: 60_000 })
    const bob = new RawPeer(url)
    expect(await bob.claim({ name: 'bob', token: 'b' })).not.toHaveProperty('tokenMs')
    await clock.advance(59_900)
    expect(await ask(alice, 'lookup', { id: 1, names: ['bob'] })).toMatchObject(['found', {}])
    await clock.advance(10_500)
    expect(await alice.end()).toEqual({ code: 4504, reason: 'the access token is no longer valid' })
    expect(alice.frames.at(-1)).toBe('42["closing",{"reason":"token-expired"}]')
    await vi.waitFor(() => expect(gateway.connections).toBe(1))
  })

  test('[WC8] connections whose tokens end at once do not end at once', async () => {
    const allowed: Record<string, Partial<Allowed>> = { a: {} }
    const { url, clock, endsAt, gateway } = await startEnding(allowed)
    allowed['a'] = { endsAt: endsAt(5_000) }
    for (let i = 0; i < 40; i++) await joined(url, { name: `peer-${i}`, token: 'a' })
    await clock.advance(10_000)
    await vi.waitFor(() => expect(gateway.connections).toBeLessThan(40))
    expect(gateway.connections).toBeGreaterThan(0)
    await clock.advance(5_500)
    await vi.waitFor(() => expect(gateway.connections).toBe(0))
  })

  test('[WC8] a peer that comes in with a token that has just ended may stay until nobody takes it any more', async () => {
    const allowed: Record<string, Partial<Allowed>> = { a: {} }
    const { url, clock, endsAt } = await startEnding(allowed)
    allowed['a'] = { endsAt: endsAt(-5_000), toleranceMs: 30_000 }
    const alice = new RawPeer(url)
    expect(await alice.claim({ name: 'alice', token: 'a' })).toMatchObject({ tokenMs: 0 })
    await clock.advance(24_900)
    expect(await ask(alice, 'lookup', { id: 1, names: ['bob'] })).toMatchObject(['found', {}])
    await clock.advance(10_500)
    expect(await alice.end()).toMatchObject({ code: 4504 })
  })

  test('[WR12] a new token of the same identity replaces the end, the grants and the rates', async () => {
    const allowed: Record<string, Partial<Allowed>> = { 'a-1': {}, 'a-2': {} }
    const { url, clock, endsAt, access } = await startEnding(allowed)
    allowed['a-1'] = { endsAt: endsAt(10_000), rooms: { names: [] } }
    allowed['a-2'] = { endsAt: endsAt(600_000) }
    const alice = await joined(url, { name: 'alice', token: 'a-1' })
    expect(await ask(alice, 'renew', { id: 1, token: 'a-2' })).toEqual([
      'renewed',
      { id: 1, tokenMs: 600_000 },
    ])
    expect(access.asked.at(-1)).toEqual({
      app: 'default',
      name: 'alice',
      isNameMade: false,
      wire: 'native',
      address: '127.0.0.1',
      token: 'a-2',
      isRenewal: true,
    })
    await clock.advance(60_000)
    expect(await ask(alice, 'join', { id: 2, room: 'any' })).toMatchObject(['roomed', {}])
    await clock.advance(551_000)
    expect(await alice.end()).toMatchObject({ code: 4504 })
  })

  test('[WR12] a token that is wrong, or of another identity or app, changes nothing', async () => {
    const allowed: Record<string, Partial<Allowed>> = {
      'a-1': {},
      'b-1': {},
      'a-other': { app: appOf('other') },
    }
    const { url, clock, endsAt, counted } = await startEnding(allowed)
    allowed['a-1'] = { endsAt: endsAt(10_000) }
    const alice = await joined(url, { name: 'alice', token: 'a-1' })
    expect(await ask(alice, 'renew', { id: 1, token: 'made up' })).toEqual([
      'error',
      { id: 1, code: 'bad-token', detail: 'the token has no entry' },
    ])
    for (const [id, token] of [
      [2, 'b-1'],
      [3, 'a-other'],
    ] as const)
      expect(await ask(alice, 'renew', { id, token })).toMatchObject(['error', { id, code: 'forbidden' }])
    expect(counted.filter((text) => text.startsWith('refused native'))).toHaveLength(3)
    expect(counted.join('\n')).not.toContain('made up')
    await clock.advance(20_500)
    expect(await alice.end()).toMatchObject({ code: 4504 })
  })

  test('[WR12] an access that ends can be renewed without an identity, and the rules get the origin again', async () => {
    const allowed: Record<string, Partial<Allowed>> = { a: {}, b: {} }
    const access = byToken(allowed)
    const { url, clock, endsAt } = await startEnding(allowed, {
      access: {
        admit: async (request) => {
          const decision = await access.admit(request)
          if (decision.ok) delete decision.identity
          return decision
        },
      },
    })
    allowed['a'] = { endsAt: endsAt(10_000) }
    allowed['b'] = { endsAt: endsAt(600_000) }
    const alice = new RawPeer(url, { Origin: 'https://a.example' })
    await alice.claim({ name: 'alice', token: 'a' })
    expect(await ask(alice, 'renew', { id: 1, token: 'b' })).toEqual(['renewed', { id: 1, tokenMs: 600_000 }])
    expect(access.asked.at(-1)).toMatchObject({ token: 'b', origin: 'https://a.example' })
    await clock.advance(60_000)
    expect(await ask(alice, 'lookup', { id: 2, names: ['x'] })).toMatchObject(['found', {}])
  })

  test('[WR15] a new token ends the memberships and watches that it does not allow, and the peer is told', async () => {
    const { url } = await startEnding({
      'a-1': {},
      'a-2': { rooms: { prefixes: ['lobby'] }, to: { names: ['bob'] } },
      b: {},
    })
    const alice = await joined(url, { name: 'alice', token: 'a-1' })
    const bob = await joined(url, { name: 'bob', token: 'b' })
    for (const [id, room] of [
      [1, 'lobby'],
      [2, 'secret'],
    ] as const) {
      await ask(alice, 'join', { id, room })
      await ask(bob, 'join', { id, room })
    }
    await ask(alice, 'watch', { id: 3, names: ['bob', 'carol'] })
    expect(await ask(alice, 'renew', { id: 4, token: 'a-2' })).toMatchObject(['renewed', {}])
    const { since } = (await alice.event('welcome')) as { since: number }
    const left = JSON.stringify([
      'changed',
      { room: 'secret', members: [{ name: 'alice', since, state: 'left' }] },
    ])
    expect(alice.frames).toContain(`42${left}`)
    const errors = alice.frames.filter((frame) => frame.startsWith('42["error"'))
    expect(errors.map((frame) => JSON.parse(frame.slice(2))[1])).toEqual([
      {
        code: 'forbidden',
        detail: 'the new access token does not allow these names, so their watches have ended: "carol"',
      },
    ])
    expect(await bob.until((frame) => frame.includes('"left"'))).toContain('"room":"secret"')
    expect(await ask(alice, 'say', { id: 5, room: 'secret', body: '1' })).toMatchObject([
      'error',
      { code: 'forbidden' },
    ])
    expect(await ask(alice, 'say', { id: 6, room: 'lobby', body: '1' })).toMatchObject(['done', {}])
    await joined(url, { name: 'carol', token: 'b' })
    bob.send('leave', {})
    expect(await alice.until((frame) => frame.startsWith('42["presence"'))).toContain('"name":"bob"')
    expect(alice.frames.join()).not.toContain('42["presence",{"name":"carol"')
  })

  test('[WR15] a request that waited while a new token came gets the grants of that token', async () => {
    const { url, node } = await startEnding({ 'a-1': {}, 'a-2': { rooms: { names: [] } } })
    const alice = await joined(url, { name: 'alice', token: 'a-1' })
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const lookup = node.lookup.bind(node)
    vi.spyOn(node, 'lookup').mockImplementation(async (peers) => {
      await gate
      return lookup(peers)
    })
    // These and the renewal are sixteen, which is as many as run at once.
    for (let id = 1; id <= 15; id++) alice.send('lookup', { id, names: ['x'] })
    alice.send('renew', { id: 16, token: 'a-2' })
    alice.send('join', { id: 17, room: 'any' })
    expect(await answer(alice, 16)).toMatchObject(['renewed', {}])
    expect(await answer(alice, 17)).toMatchObject(['error', { code: 'forbidden' }])
    open()
    await answer(alice, 15)
  })

  test('[WR12] where nobody has an identity, nothing can be renewed', async () => {
    const { url } = await startNative()
    const alice = await joined(url, { name: 'alice' })
    expect(await ask(alice, 'renew', { id: 1, token: 'x' })).toEqual([
      'error',
      { id: 1, code: 'forbidden', detail: 'this app has no access tokens' },
    ])
  })

  test('[WR12] renewals have a rate, and new tokens give no new rates', async () => {
    const allowed: Record<string, Partial<Allowed>> = { a: { limits: { lookupsPerSecond: 1 } } }
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, lookupsPerSecond: 5 } }
    const { url } = await startEnding(allowed, { limitValues })
    const alice = await joined(url, { name: 'alice', token: 'a' })
    const found = async (id: number): Promise<boolean> =>
      (await ask(alice, 'lookup', { id, names: ['x'] }))[0] === 'found'
    expect([await found(1), await found(2), await found(3)]).toEqual([true, true, false])
    let id = 10
    for (; id < 1_000; id++) if ((await ask(alice, 'renew', { id, token: 'a' }))[0] !== 'renewed') break
    expect(id).toBe(10 + 2 * 64)
    expect(await answer(alice, id)).toMatchObject(['error', { code: 'rate-limited' }])
    expect(await found(2_000)).toBe(false)
  })
})

describe('bans and application servers', () => {
  const revoked: Refused = {
    ok: false,
    code: 'banned',
    detail: 'alice is banned',
    retryAfterMs: 5_000,
  }
  const settings = { apps: { default: { api: { keys: ['k'.repeat(24)] } } } }

  test('[WH13] a banned peer is refused at its hello and at a renewal, with the time of the end', async () => {
    const check = vi.fn<RevocationCheck['check']>(() => Promise.resolve({ ok: true }))
    const { url } = await startNative({
      settings,
      access: byToken({ a: { tokenId: 'j', issuedAt: 7 } }),
      revocations: { check },
    })
    const alice = await joined(url, { name: 'alice', token: 'a' })
    expect(check).toHaveBeenCalledWith('default', { name: 'alice', identity: 'a', tokenId: 'j', issuedAt: 7 })
    check.mockResolvedValue(revoked)
    expect(await ask(alice, 'renew', { id: 1, token: 'a' })).toMatchObject(['error', { code: 'banned' }])
    expect((await new RawPeer(url).refused({ name: 'alice', token: 'a' })).data).toEqual({
      code: 'banned',
      detail: 'alice is banned',
      retryAfterMs: 5_000,
    })
  })

  test('[WR12] while the bans cannot be read, a good token is renewed for a minute', async () => {
    const clock = new FakeClock()
    const check = vi.fn<RevocationCheck['check']>(() => Promise.resolve({ ok: true }))
    const allowed: Record<string, Partial<Allowed>> = {
      'a-1': { endsAt: clock.now() + 40_000 },
      'a-2': { endsAt: clock.now() + 300_000 },
      'a-3': { endsAt: clock.now() + 50_000 },
      'a-none': {},
    }
    const { url } = await startNative({
      settings,
      clock,
      engine: QUIET,
      access: byToken(allowed),
      revocations: { check },
    })
    const alice = await joined(url, { name: 'alice', token: 'a-1' })
    const lasting = await joined(url, { name: 'lasting', token: 'a-none' })
    const down: Refused = { ok: false, code: 'access-unavailable', detail: 'the bans cannot be read' }
    check.mockResolvedValue(down)
    expect(await ask(alice, 'renew', { id: 1, token: 'a-2' })).toEqual([
      'renewed',
      { id: 1, tokenMs: 60_000 },
    ])
    expect(await ask(alice, 'renew', { id: 2, token: 'a-3' })).toEqual([
      'renewed',
      { id: 2, tokenMs: 50_000 },
    ])
    expect((await new RawPeer(url).refused({ name: 'bob', token: 'a-1' })).data).toMatchObject({
      code: 'access-unavailable',
    })
    // Its access does not end, so it loses nothing.
    expect(await ask(lasting, 'renew', { id: 3, token: 'a-2' })).toMatchObject(['error', { code: down.code }])
    check.mockResolvedValue({ ok: true })
    expect(await ask(alice, 'renew', { id: 4, token: 'a-2' })).toEqual([
      'renewed',
      { id: 4, tokenMs: 300_000 },
    ])
  })

  test('[WC9] a close by an application server has its code and text, cut to what a close frame holds', async () => {
    const { url, node } = await startNative()
    const alice = await joined(url, { name: 'alice' })
    const [session] = node.sessions.allOnline()
    const text = `${'é'.repeat(60)}abcdef`
    session?.connection.close('disconnected', { code: 4_901, text })
    expect(await alice.end()).toEqual({ code: 4_901, reason: `${'é'.repeat(60)}abc` })
    expect(alice.frames.at(-1)).toBe(
      `42["closing",${JSON.stringify({ reason: 'disconnected', code: 4_901, text })}]`,
    )
  })
})
