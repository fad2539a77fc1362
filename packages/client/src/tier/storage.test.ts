import { expect, test } from 'vitest'
import { connect } from '../entries/node.js'
import { openIdentity } from './identity.js'
import type { IdentityStorage } from './identity.js'
import { MemoryLocks } from '../platform/locks.js'
import type { Locks } from '../platform/locks.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeStorage, nameFrom } from '../testing/fake-page.js'
import { FakeTier } from '../testing/fake-tier.js'

// A storage may fail at any moment. The page may then lose its identity at a reload, but delivery is never affected.

const fails = (): never => {
  throw new DOMException('the quota is exceeded', 'QuotaExceededError')
}
const FAULTS: [string, () => unknown][] = [
  ['throws', fails],
  [
    'throws a value that is not an error',
    () => {
      throw undefined
    },
  ],
  ['returns a number', () => 7],
  ['returns an object', () => ({ secret: 's'.repeat(22) })],
  ['returns a text that is not a record', () => '{"secret":'],
  ['returns a promise that rejects', () => Promise.reject(new Error('later'))],
]
const OPERATIONS = ['getItem', 'setItem', 'removeItem'] as const
/** Which calls fail: all from the n-th on, or only the n-th. */
const MOMENTS = [0, 1, 2, 3].flatMap(
  (n) =>
    [
      [`from call ${n} on`, (call: number) => call >= n],
      [`at call ${n}`, (call: number) => call === n],
    ] as const,
)

/** A storage whose given operations fail at the given calls. `calls` counts all calls. */
function failing(
  operations: readonly (typeof OPERATIONS)[number][],
  isFaulty: (call: number) => boolean,
  fault: () => unknown,
): IdentityStorage & { calls: number } {
  const real = new FakeStorage()
  const counts = new Map<string, number>()
  const act = (operation: (typeof OPERATIONS)[number], ...args: string[]): unknown => {
    storage.calls++
    const call = counts.get(operation) ?? 0
    counts.set(operation, call + 1)
    if (operations.includes(operation) && isFaulty(call)) return fault()
    return Reflect.apply(real[operation], real, args)
  }
  const storage = {
    calls: 0,
    getItem: (key: string) => act('getItem', key) as string | null,
    setItem: (key: string, value: string) => act('setItem', key, value) as void,
    removeItem: (key: string) => act('removeItem', key) as void,
  }
  return storage
}

const TABLE = [...OPERATIONS.map((one) => [one]), [...OPERATIONS]].flatMap((operations) =>
  MOMENTS.flatMap(([moment, isFaulty]) =>
    FAULTS.map(([what, fault]) => ({ operations, moment, isFaulty, what, fault })),
  ),
)

test.each(TABLE)(
  '[WL9] a storage whose $operations $what $moment: peers connect, get each message once, and end',
  async (row) => {
    const clock = new FakeClock()
    const tier = new FakeTier(clock)
    const storage = failing(row.operations, row.isFaulty, row.fault)
    const options = { name: 'ann', clock, transport: tier.open, p2p: false as const }
    // A load, a reload, and one after a leave. The name may or may not be the same, but each connect must succeed.
    for (const end of ['close', 'leave', 'leave'] as const) {
      const joining = connect('http://tier', { ...options, storage })
      await clock.advance(10)
      const ann = await joining
      const sending = connect('http://tier', { ...options, name: 'bob', storage: null })
      await clock.advance(10)
      const bob = await sending
      const got: unknown[] = []
      ann.on('message', (_, data) => got.push(data))
      const sends = Promise.all([1, 2, 3].map((data) => bob.send('ann', data)))
      await clock.advance(100)
      await sends
      expect(got).toEqual([1, 2, 3])
      void bob.leave()
      if (end === 'leave') void ann.leave()
      else ann.close()
      expect(ann.state.state).toBe('closed')
      await clock.advance(10)
      // If the secret was lost, the name would be taken until the grace time is over.
      if (end === 'close') tier.release('ann')
    }
    expect(storage.calls).toBeGreaterThan(0)
  },
)

const LOCKS: [string, Locks | undefined][] = [
  ['good locks', new MemoryLocks()],
  ['no locks', undefined],
  ['locks that throw', { request: fails }],
  ['locks that reject', { request: () => Promise.reject(new DOMException('no', 'SecurityError')) }],
  ['locks that return nothing', { request: (() => undefined) as unknown as Locks['request'] }],
]

test.each(LOCKS)(
  '[WL9] with %s and a storage that throws, an identity can be opened, kept and closed',
  async (_, locks) => {
    for (const operation of OPERATIONS) {
      const storage = failing([operation], () => true, fails)
      for (const forget of [false, true]) {
        const identity = await openIdentity('key', { storage, locks })
        identity.keep(nameFrom('ann'), () => [])
        identity.save()
        identity.close(forget)
      }
    }
  },
)

test('[WL9] [I8] locks that do not work are ignored, so a reload finds the name', async () => {
  const storage = new FakeStorage()
  const locks: Locks = { request: () => Promise.reject(new DOMException('no', 'SecurityError')) }
  const first = await openIdentity('key', { storage, locks })
  first.keep(nameFrom('ann'), () => [])
  expect(storage.items.size).toBe(0)
  first.close(false)
  expect(await openIdentity('key', { storage, locks })).toMatchObject({ secret: first.secret, name: 'ann' })
})

test('a lock that is acquired after an abort is released', async () => {
  const storage = new FakeStorage()
  const locks = new MemoryLocks()
  const first = await openIdentity('key', { storage, locks })
  first.keep(nameFrom('ann'), () => [])
  const end = new AbortController()
  const second = openIdentity('key', { storage, locks }, undefined, end.signal)
  end.abort(new Error('enough'))
  await expect(second).rejects.toThrow('enough')
  first.close(false)
  const third = await openIdentity('key', { storage, locks })
  expect(third.secret).toBe(first.secret)
})
