import type { Secret } from '@peerage/protocol'
import { parseSecret } from '@peerage/protocol'
import { expect, test } from 'vitest'
import { randomText } from '../lib/base64.js'
import { openIdentity } from './identity.js'
import type { IdentityPlace } from './identity.js'
import type { Seen } from '../delivery/inbox.js'
import { MemoryLocks } from '../platform/locks.js'
import { FakeStorage, nameFrom } from '../testing/fake-page.js'

const KEY = 'a key'
const ann = nameFrom('ann')
const seen: Seen[] = [[nameFrom('bob'), 'streamofbob', 7, 1_000]]

/** A tab: its storage, and a function that unloads its page. */
function tab(storage: FakeStorage, locks?: MemoryLocks): IdentityPlace & { unload(): void } {
  let leave = (): void => {}
  return {
    storage,
    locks,
    onLeave: (save) => {
      leave = save
      return () => (leave = () => {})
    },
    unload: () => leave(),
  }
}

test('[WN5] a secret is 22 characters of base64url, and always another one', () => {
  const secrets = new Set(Array.from({ length: 1_000 }, () => randomText(16)))
  expect(secrets.size).toBe(1_000)
  for (const secret of secrets) expect(parseSecret(secret)).toMatchObject({ ok: true })
  expect(randomText(8)).toMatch(/^[A-Za-z0-9_-]{11}$/)
})

test.each([
  ['with locks', new MemoryLocks()],
  ['without', undefined],
])(
  '[I8] a reloaded page has the same secret, name and record of handed-over messages (%s)',
  async (_, locks) => {
    const storage = new FakeStorage()
    const page = tab(storage, locks)
    const first = await openIdentity(KEY, page)
    expect(first.name).toBeUndefined()
    first.keep(ann, () => seen)
    page.unload()
    first.close(false)
    const second = await openIdentity(KEY, tab(storage, locks))
    expect(second).toMatchObject({ secret: first.secret, name: 'ann', seen })
  },
)

test.each([
  ['with locks', new MemoryLocks()],
  ['without', undefined],
])('[I8] a duplicated tab is another peer, and both keep their own identity (%s)', async (_, locks) => {
  const storage = new FakeStorage()
  const page = tab(storage, locks)
  const original = await openIdentity(KEY, page)
  original.keep(ann, () => seen)
  const copied = storage.copy()
  const duplicate = await openIdentity(KEY, tab(copied, locks))
  expect(duplicate.secret).not.toBe(original.secret)
  expect(duplicate).toMatchObject({ name: undefined, seen: [] })
  duplicate.keep(nameFrom('copy'), () => [])
  page.unload()
  original.close(false)
  expect(await openIdentity(KEY, tab(storage, locks))).toMatchObject({ secret: original.secret, name: 'ann' })
})

test('[I8] with locks, a page that crashed finds its secret again', async () => {
  const storage = new FakeStorage()
  const first = await openIdentity(KEY, tab(storage, new MemoryLocks()))
  first.keep(ann, () => seen)
  // After a crash the browser has released the locks of the page.
  expect(await openIdentity(KEY, tab(storage, new MemoryLocks()))).toMatchObject({
    secret: first.secret,
    name: 'ann',
  })
})

test('a save writes the current record of handed-over messages', async () => {
  const storage = new FakeStorage()
  const locks = new MemoryLocks()
  const first = await openIdentity(KEY, tab(storage, locks))
  let now: Seen[] = []
  first.keep(ann, () => now)
  now = seen
  first.save()
  expect(await openIdentity(KEY, tab(storage.copy(), new MemoryLocks()))).toMatchObject({ seen })
})

test('a forgotten identity is removed', async () => {
  const storage = new FakeStorage()
  const locks = new MemoryLocks()
  const first = await openIdentity(KEY, tab(storage, locks))
  first.keep(ann, () => seen)
  first.close(true)
  expect(storage.items.size).toBe(0)
  const second = await openIdentity(KEY, tab(storage, locks))
  expect(second.secret).not.toBe(first.secret)
})

test('a given secret takes precedence, and the record of another secret is not used', async () => {
  const storage = new FakeStorage()
  const given = 'g'.repeat(22) as Secret
  const kept = await openIdentity(KEY, tab(storage, new MemoryLocks()))
  kept.keep(ann, () => seen)
  expect(await openIdentity(KEY, tab(storage, new MemoryLocks()), given)).toMatchObject({
    secret: given,
    name: undefined,
    seen: [],
  })
})

test('without a place the identity is in memory only', async () => {
  const one = await openIdentity(KEY)
  one.keep(ann, () => seen)
  one.save()
  one.close(false)
  expect((await openIdentity(KEY)).secret).not.toBe(one.secret)
})

test.each([
  '',
  '{',
  'null',
  '[]',
  '{"secret":"short"}',
  '{"secret":7,"name":"ann"}',
  '{"__proto__":{"secret":"gggggggggggggggggggggg"}}',
])('a stored text that is not a record of ours (%s) is ignored', async (text) => {
  const storage = new FakeStorage()
  storage.setItem(KEY, text)
  const identity = await openIdentity(KEY, tab(storage, new MemoryLocks()))
  expect(identity).toMatchObject({ name: undefined, seen: [] })
  expect(parseSecret(identity.secret)).toMatchObject({ ok: true })
})

test('malformed entries of a record are left out', async () => {
  const storage = new FakeStorage()
  const secret = 's'.repeat(22)
  const broken = [[], ['bob'], ['bob', 1, 2, 3], ['bob', 's', 1.5, 3], ['', 's', 1, 2], null, seen[0]]
  storage.setItem(KEY, JSON.stringify({ secret, name: 'x'.repeat(200), seen: broken }))
  expect(await openIdentity(KEY, tab(storage, new MemoryLocks()))).toMatchObject({
    secret,
    name: undefined,
    seen,
  })
})

test('a storage that is full or blocked prevents neither the welcome nor the close', async () => {
  const locks = new MemoryLocks()
  const page = tab(new FakeStorage(), locks)
  const identity = await openIdentity(KEY, page)
  const fails = (): never => {
    throw new DOMException('the quota is exceeded', 'QuotaExceededError')
  }
  page.storage.setItem = fails
  page.storage.removeItem = fails
  expect(() => identity.keep(ann, () => [])).not.toThrow()
  expect(() => identity.close(false)).not.toThrow()
  expect(() => identity.close(true)).not.toThrow()
})
