import { RegistryUnavailable } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, expect, test, vi } from 'vitest'
import { OTHER_KEY, closeApiFixtures, startApi } from '../testing/api-fixture.js'

afterEach(closeApiFixtures)

const clock = new FakeClock()
const now = clock.now()

test('[API30] a peer is disconnected with the code and the text that were asked for', async () => {
  const { call, disconnects } = await startApi({ clock })
  const body = { code: 4400, reason: 'updated' }
  expect(await call('/peers/a%2Fb/disconnect', { body })).toMatchObject({ status: 200, json: { closed: 0 } })
  await call('/peers/a/disconnect', { body: {} })
  expect(disconnects).toEqual([
    { app: 'default', whom: { name: 'a/b' }, how: { code: 4400, text: 'updated' } },
    {
      app: 'default',
      whom: { name: 'a' },
      how: { code: 4505, text: 'an application server closed the connection' },
    },
  ])
  expect((await call('/bans')).json).toEqual({ bans: [] })
})

test('[API30] a ban is written before the connection is closed, and is listed until it is lifted', async () => {
  const { call, disconnects, store } = await startApi({ clock })
  const put = store.records.put.bind(store.records)
  store.records.put = (...args) => {
    expect(disconnects).toEqual([])
    return put(...args)
  }
  const until = now + 60_000
  expect((await call('/peers/eve/disconnect', { body: { banMs: 60_000 } })).json).toEqual({
    closed: 0,
    until,
  })
  expect((await call('/bans')).json).toEqual({ bans: [{ kind: 'name', value: 'eve', until }] })
  expect((await call('/bans', { key: OTHER_KEY })).json).toEqual({ bans: [] })
  expect((await call('/bans/name/eve', { method: 'DELETE', key: OTHER_KEY })).status).toBe(404)
  expect((await call('/bans/name/eve', { method: 'DELETE' })).status).toBe(204)
  expect((await call('/bans/name/eve', { method: 'DELETE' })).status).toBe(404)
})

test('[API30] a peer of this node is disconnected even if the store does not say who holds the name', async () => {
  const { call, peer, server } = await startApi()
  const alice = await peer('alice')
  const closed = new Promise<void>((resolve) =>
    alice.on('state', ({ state }) => state === 'closed' && resolve()),
  )
  server.node.router.lookup = () => Promise.reject(new RegistryUnavailable('gone'))
  expect(await call('/peers/alice/disconnect', { body: {} })).toMatchObject({
    status: 200,
    json: { closed: 1 },
  })
  await closed
  expect((await call('/peers/nobody/disconnect', { body: {} })).json).toEqual({ closed: null })
})

test('[API30] the peer learns the code and the text, and its name is free', async () => {
  const { call, peer } = await startApi()
  const alice = await peer('alice')
  const closed = new Promise((resolve) =>
    alice.on('state', (state) => state.state === 'closed' && resolve(state)),
  )
  const body = { code: 4900, reason: 'you were reported' }
  expect((await call('/peers/alice/disconnect', { body })).json).toEqual({ closed: 1 })
  expect(await closed).toMatchObject({ reason: 'disconnected', detail: 'you were reported', code: 4900 })
  expect((await call('/peers/alice')).status).toBe(404)
})

test('[API30] if the ban cannot be written, the connection stays', async () => {
  const { call, disconnects, store } = await startApi({ clock })
  store.records.put = () => Promise.resolve('full')
  expect(await call('/peers/eve/disconnect', { body: { banMs: 1 } })).toMatchObject({
    status: 409,
    json: { code: 'too-many' },
  })
  expect(disconnects).toEqual([])
})

test('[API31] an identity is disconnected, and its ban is listed', async () => {
  const { call, disconnects } = await startApi({ clock })
  const { json } = await call('/identities/user%3A7/disconnect', { body: { banMs: 1_000 } })
  expect(json).toEqual({ closed: 0, until: now + 1_000 })
  expect(disconnects).toMatchObject([{ whom: { identity: 'user:7' } }])
  expect((await call('/bans')).json).toMatchObject({ bans: [{ kind: 'identity', value: 'user:7' }] })
})

test('[API32] bans and revocations are in one list, and end one by one', async () => {
  const { call } = await startApi({ clock })
  await call('/peers/a/disconnect', { body: { banMs: 1_000 } })
  await call('/identities/a/disconnect', { body: { banMs: 1_000 } })
  await call('/revocations', { body: { jti: 'a' } })
  await call('/revocations', { body: { sub: 'a' } })
  const kinds = ['name', 'identity', 'token', 'tokens']
  const { json } = await call('/bans')
  expect((json as { bans: { kind: string }[] }).bans.map(({ kind }) => kind).toSorted()).toEqual(
    kinds.toSorted(),
  )
  for (const kind of kinds) expect((await call(`/bans/${kind}/a`, { method: 'DELETE' })).status).toBe(204)
  expect((await call('/bans/other/a', { method: 'DELETE' })).status).toBe(400)
  expect((await call('/bans')).json).toEqual({ bans: [] })
})

test('[API33] a token is minted by an app that has a secret', async () => {
  const { call, minted } = await startApi({ clock })
  const peerage = { claim: { prefixes: ['a-'] }, rooms: { names: ['hall'] }, discovery: true }
  expect(await call('/tokens', { body: { sub: 'alice', ttlMs: 5_000, peerage } })).toMatchObject({
    status: 200,
    json: { token: 'a.b.c', jti: 'id', expiresAt: expect.any(Number) },
  })
  expect(minted).toEqual([{ sub: 'alice', ttlMs: 5_000, peerage }])
  expect(await call('/tokens', { body: { sub: 'alice' }, key: OTHER_KEY })).toMatchObject({
    status: 409,
    json: { code: 'no-signing-key' },
  })
  expect(await call('/tokens', { body: { sub: 'alice', ttlMs: 3_600_001 } })).toMatchObject({ status: 400 })
})

test('[API33] no token is stored', async () => {
  const { call, store } = await startApi({ clock })
  const begin = vi.spyOn(store.answers, 'begin')
  await call('/tokens', { body: { sub: 'alice' }, headers: { 'Idempotency-Key': 'k' } })
  expect(begin).not.toHaveBeenCalled()
})

test('[API34] a token is revoked until it has surely expired, and its connections end', async () => {
  const { call, disconnects } = await startApi({ clock })
  // A token may end 30 s too far ahead, and is taken until 30 s after its end.
  const until = now + 3_600_000 + 2 * 30_000
  expect((await call('/revocations', { body: { jti: 'j1' } })).json).toEqual({ closed: 0, until })
  await call('/revocations', { body: { sub: 'alice' } })
  await call('/revocations', { body: { sub: 'bob', before: now - 5 } })
  expect(disconnects.map(({ whom, how }) => [whom, how.code, how.before])).toEqual([
    [{ tokenId: 'j1' }, 4504, undefined],
    [{ identity: 'alice' }, 4504, now],
    [{ identity: 'bob' }, 4504, now - 5],
  ])
  expect((await call('/bans')).json).toMatchObject({
    bans: [
      { kind: 'token', value: 'j1', until },
      { kind: 'tokens', value: 'alice', until, before: now },
      { kind: 'tokens', value: 'bob', until, before: now - 5 },
    ],
  })
})

test('[API34] a revocation lasts as long as the longest token that its caller knows of', async () => {
  const { call } = await startApi({ clock })
  const expiresAt = now + 10 * 3_600_000
  expect((await call('/revocations', { body: { jti: 'j1', expiresAt } })).json).toMatchObject({
    until: expiresAt + 30_000,
  })
  expect((await call('/revocations', { body: { sub: 'a', expiresAt: now + 1_000 } })).json).toMatchObject({
    until: now + 3_600_000 + 2 * 30_000,
  })
  expect(
    await call('/revocations', { body: { jti: 'j2', expiresAt: now + 367 * 86_400_000 } }),
  ).toMatchObject({
    status: 400,
    json: { detail: expect.stringContaining('body.expiresAt: must be at most') },
  })
})

test('[API34] a later revocation loosens no earlier one', async () => {
  const { call, disconnects } = await startApi({ clock })
  const expiresAt = now + 10 * 3_600_000
  const until = expiresAt + 30_000
  await call('/revocations', { body: { sub: 'alice', expiresAt } })
  expect((await call('/revocations', { body: { sub: 'alice', before: now - 5 } })).json).toMatchObject({
    until,
  })
  await call('/revocations', { body: { jti: 'j1', expiresAt } })
  await call('/revocations', { body: { jti: 'j1' } })
  await call('/revocations', { body: { sub: 'bob', before: now - 5 } })
  await call('/revocations', { body: { sub: 'bob', before: now + 5 } })
  expect((await call('/bans')).json).toMatchObject({
    bans: [
      { kind: 'token', value: 'j1', until },
      { kind: 'tokens', value: 'alice', until, before: now },
      { kind: 'tokens', value: 'bob', before: now + 5 },
    ],
  })
  expect(disconnects.map(({ how }) => how.before)).toEqual([now, now, undefined, undefined, now - 5, now + 5])
})

test.each([
  [{}, 'body: must have either jti (one token) or sub (the tokens of an identity)'],
  [{ jti: 'a', sub: 'b' }, 'body: must have either jti (one token) or sub (the tokens of an identity)'],
  [{ jti: 'a', before: now }, 'body.before: goes with sub only'],
  [{ sub: 'a', before: 'yesterday' }, 'body.before: must be a time in Unix milliseconds'],
  [{ sub: 'a', before: 1_796_059_315 }, 'body.before: must be a time in Unix milliseconds; the claims'],
  [{ jti: 'a', expiresAt: 1_796_059_315 }, 'body.expiresAt: must be a time in Unix milliseconds; the claims'],
  [{ sub: '' }, 'body.sub: must not be empty'],
  [{ jti: 7 }, 'body.jti: must be a string of 1 to 256 characters'],
])('[API8] the revocation %j is refused with a text that says what is right', async (body, text) => {
  const { call, disconnects } = await startApi({ clock })
  const { status, json } = await call('/revocations', { body })
  expect([status, json]).toMatchObject([400, { detail: expect.stringContaining(text) }])
  expect(disconnects).toEqual([])
})

test('[API33] a token is minted for as long as its app takes tokens, if the request says nothing', async () => {
  const { call, minted } = await startApi({ clock, tokenMs: () => 60_000 })
  expect((await call('/tokens', { body: { sub: 'alice' } })).status).toBe(200)
  expect(minted).toEqual([{ sub: 'alice', ttlMs: 60_000, peerage: undefined }])
})
