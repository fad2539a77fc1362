import { RegistryUnavailable, memoryCluster, defaultTimes, systemClock } from '@peerage/core'
import { afterEach, expect, test, vi } from 'vitest'
import { OTHER_KEY, closeApiFixtures, startApi } from '../testing/api-fixture.js'

afterEach(closeApiFixtures)

const once = (key: string): { headers: Record<string, string> } => ({ headers: { 'Idempotency-Key': key } })

test('[API11] a second request with the same key gets the first answer, and acts no more', async () => {
  const { call, disconnects } = await startApi()
  const body = { reason: 'bye', banMs: 1_000 }
  const first = await call('/peers/a/disconnect', { body, ...once('k1') })
  const second = await call('/peers/a/disconnect', { body, ...once('k1') })
  expect(first.headers.get('Idempotency-Replayed')).toBeNull()
  expect(second.headers.get('Idempotency-Replayed')).toBe('true')
  expect([second.status, second.text]).toEqual([first.status, first.text])
  expect(disconnects).toHaveLength(1)
})

test('[API11] the answer outlives its node', async () => {
  const cluster = memoryCluster({ clock: systemClock, times: defaultTimes })
  const before = await startApi({ cluster })
  const first = await before.call('/peers/nobody/messages', { body: { data: 1 }, ...once('k') })
  await closeApiFixtures()
  const after = await startApi({ cluster })
  const second = await after.call('/peers/nobody/messages', { body: { data: 1 }, ...once('k') })
  expect([second.status, second.text, second.headers.get('Idempotency-Replayed')]).toEqual([
    200,
    first.text,
    'true',
  ])
})

test('[API11] keys of another app are others, and a problem that stays is an answer too', async () => {
  const { call, peer } = await startApi()
  const big = { data: 'x'.repeat(200_000) }
  await peer('a')
  await peer('a', 'other')
  expect((await call('/peers/a/messages', { body: big, ...once('k') })).status).toBe(413)
  const again = await call('/peers/a/messages', { body: big, ...once('k') })
  expect([again.status, again.headers.get('Idempotency-Replayed')]).toEqual([413, 'true'])
  const other = await call('/peers/a/messages', { body: big, key: OTHER_KEY, ...once('k') })
  expect([other.status, other.headers.get('Idempotency-Replayed')]).toEqual([413, null])
})

test.each(['', 'two words', 'é', 'x'.repeat(256)])('[API11] the key %j is refused', async (key) => {
  const { call } = await startApi()
  // fetch sends no header that is not Latin-1.
  const answer = await call('/peers/a/disconnect', { method: 'POST', ...once(key) })
  expect(answer).toMatchObject({ status: 400, json: { errors: [{ at: 'header.Idempotency-Key' }] } })
})

test('[API12] another request with the same key is 422', async () => {
  const { call, disconnects } = await startApi()
  await call('/peers/a/disconnect', { body: { banMs: 1 }, ...once('k') })
  for (const [path, body] of [
    ['/peers/a/disconnect', { banMs: 2 }],
    ['/peers/b/disconnect', { banMs: 1 }],
    ['/identities/a/disconnect', { banMs: 1 }],
  ] as const)
    expect(await call(path, { body, ...once('k') })).toMatchObject({
      status: 422,
      json: { code: 'idempotency-mismatch' },
    })
  expect(disconnects).toHaveLength(1)
})

test('[API12] while the first request waits, the second one is 409, to be tried again', async () => {
  const { call, peer } = await startApi()
  const mute = await peer('mute')
  const first = call('/peers/mute/messages', { body: { data: 1, timeoutMs: 20_000 }, ...once('k') })
  await expect
    .poll(async () => {
      const { status, json, headers } = await call('/peers/mute/messages', {
        body: { data: 1, timeoutMs: 20_000 },
        ...once('k'),
      })
      return [status, json, headers.get('Retry-After')]
    })
    .toMatchObject([409, { code: 'in-progress' }, '1'])
  mute.on('message', () => {})
  expect((await first).json).toEqual({ result: 'delivered' })
})

test('[API12] a request that is under way is kept for its deadline and 5 s', async () => {
  const { call, store } = await startApi()
  const begin = vi.spyOn(store.answers, 'begin')
  await call('/peers/nobody/messages', { body: { data: 1, timeoutMs: 30_000 }, ...once('a') })
  await call('/peers/a/disconnect', { method: 'POST', ...once('b') })
  expect(begin.mock.calls.map(([, , , ttlMs]) => ttlMs)).toEqual([35_000, 15_000])
})

test('[API13] a passing failure is not kept', async () => {
  const { call, store, disconnects } = await startApi()
  const put = store.records.put.bind(store.records)
  store.records.put = () => Promise.reject(new RegistryUnavailable('gone'))
  const body = { banMs: 1_000 }
  expect((await call('/peers/a/disconnect', { body, ...once('k') })).status).toBe(503)
  store.records.put = put
  expect((await call('/peers/a/disconnect', { body, ...once('k') })).status).toBe(200)
  expect(disconnects).toHaveLength(1)
})

test('[API13] if the store cannot keep the answer, the request has acted, and this is reported', async () => {
  const { call, store, errors } = await startApi()
  store.answers.finish = () => Promise.reject(new RegistryUnavailable('gone'))
  expect((await call('/peers/a/disconnect', { method: 'POST', ...once('k') })).status).toBe(200)
  expect(errors).toHaveLength(1)
})

test('[API13] if the store cannot be asked, the request does nothing', async () => {
  const { call, store, disconnects } = await startApi()
  store.answers.begin = () => Promise.reject(new RegistryUnavailable('gone'))
  expect((await call('/peers/a/disconnect', { method: 'POST', ...once('k') })).status).toBe(503)
  expect(disconnects).toEqual([])
})

test('[API11] an app whose kept answers are too many gets 429 for further keys, and nothing is done', async () => {
  const { call, disconnects } = await startApi({ keptBytesMost: 700 })
  const disconnect = (key: string, more = {}) =>
    call('/peers/a/disconnect', { body: {}, ...once(key), ...more })
  expect((await disconnect('k1')).status).toBe(200)
  expect((await disconnect('k2')).status).toBe(200)
  expect(await disconnect('k3')).toMatchObject({ status: 429, json: { code: 'rate-limited' } })
  expect(disconnects).toHaveLength(2)
  expect((await call('/peers/a/disconnect', { body: {} })).status).toBe(200)
  expect((await disconnect('k3', { key: OTHER_KEY })).status).toBe(200)
})
