import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { describe, expect, test } from 'vitest'
import { defaultConfig } from '../../config/schema.js'
import { KeyedBuckets, TokenBucket } from '../../lib/token-bucket.js'
import { Limits, Rates } from './limits.js'
import { AppBudgets, type AppUse } from '../../apps/budgets.js'
import type { ConfigInput } from '../../config/schema.js'
import { appsOf } from '../../testing/apps.js'
import { appOf as app } from '../../testing/peerjs-fixture.js'
import { unlimited } from '../../testing/unlimited.js'

const nothing = { appRouted: () => {} }

/** How many calls in a row are let through. */
function passes(most: number, take: () => boolean): number {
  let passed = 0
  while (passed < most && take()) passed++
  return passed
}

test('[UW5] a frame over one rate counts for none', () => {
  const { connection } = unlimited
  const rates = { ...connection, messagesPerSecond: 2, bytesPerSecond: 100, signalBytesPerSecond: 50 }
  const used = new Rates(new Limits({ ...unlimited, connection: rates }, new FakeClock()), 0)
  expect(used.takeSignal(60, 60, 0)).toBe(0)
  // 40 bytes of signals are left, and 140 of all.
  for (let n = 0; n < 10; n++) expect(used.takeSignal(60, 60, 0)).toBe(400)
  for (let n = 0; n < 10; n++) expect(used.takeSignal(150, 10, 0)).toBe(100)
  expect(used.takeSignal(100, 10, 0)).toBe(0)
  expect([used.takeSignal(40, 10, 0), used.takeSignal(0, 10, 0)]).toEqual([0, 0])
  expect(used.takeSignal(0, 0, 0)).toBe(500)
})

describe('a token bucket', () => {
  test('lets twice its rate through at once, then its rate, and says how long to wait', () => {
    const bucket = new TokenBucket(10, 0)
    expect(passes(100, () => bucket.take(1, 0) === 0)).toBe(20)
    expect(bucket.take(1, 0)).toBe(100)
    expect(bucket.take(1, 99)).toBeGreaterThan(0)
    expect(bucket.take(1, 100)).toBe(0)
    expect(passes(100, () => bucket.take(1, 1_100) === 0)).toBe(10)
    expect(passes(100, () => bucket.take(1, 1_000_000) === 0)).toBe(20)
  })

  test('lets one through even at a rate below one a second, and a cost above its size when it is full', () => {
    const rare = new TokenBucket(0.25, 0)
    expect([rare.take(1, 0), rare.take(1, 0), rare.take(1, 4_000)]).toEqual([0, 4_000, 0])
    const small = new TokenBucket(100, 0)
    expect([small.take(1_000, 0), small.take(1_000, 1_999) > 0, small.take(1_000, 2_000)]).toEqual([
      0,
      true,
      0,
    ])
  })

  test('with `whole`, lets a cost above its size through, and the next one waits for all of it', () => {
    const bucket = new TokenBucket(100, 0, { whole: true })
    expect(bucket.take(1_000, 0)).toBe(0)
    expect(bucket.take(1, 0)).toBe(8_010)
    expect(bucket.take(1_000, 9_999)).toBeGreaterThan(0)
    expect(bucket.take(1_000, 10_000)).toBe(0)
  })

  test('a flood that a bucket refuses costs its parent nothing, and what the parent refuses costs neither', () => {
    const parent = new TokenBucket(10, 0)
    const [flood, other] = [new TokenBucket(2, 0), new TokenBucket(100, 0)]
    flood.parent = other.parent = parent
    expect(passes(1_000, () => flood.take(1, 0) === 0)).toBe(4)
    for (let i = 0; i < 1_000; i++) flood.take(1, 0)
    expect(passes(1_000, () => other.take(1, 0) === 0)).toBe(16)
    for (let i = 0; i < 1_000; i++) other.take(1, 0)
    expect(passes(1_000, () => other.take(1, 1_000) === 0)).toBe(10)
    expect(flood.take(1, 1_000)).toBeGreaterThan(0)
  })

  test('at another rate, what was taken stays taken', () => {
    const bucket = new TokenBucket(10, 0)
    expect(passes(100, () => bucket.take(1, 0) === 0)).toBe(20)
    bucket.setRate(100, 0)
    expect(passes(100, () => bucket.take(1, 0) === 0)).toBe(0)
    expect(passes(200, () => bucket.take(1, 1_000) === 0)).toBe(100)
    bucket.setRate(1, 10_000)
    expect(passes(100, () => bucket.take(1, 10_000) === 0)).toBe(2)
    bucket.setRate(0, 10_000)
    expect(bucket.take(1_000_000, 10_000)).toBe(0)
    bucket.setRate(1, 10_000)
    expect(passes(100, () => bucket.take(1, 10_000) === 0)).toBe(2)
  })

  test('0 a second is no limit', () => {
    const bucket = new TokenBucket(0, 0)
    expect(bucket.take(1e9, 0)).toBe(0)
  })

  test('with a parent, the stricter of the two decides', () => {
    const [own, shared] = [new TokenBucket(10, 0), new TokenBucket(2, 0)]
    own.parent = shared
    expect(passes(100, () => own.take(1, 0) === 0)).toBe(4)
    expect(own.take(1, 0)).toBe(500)
  })
})

test('rates are unused again when all of their buckets are full, that of the refusals included', () => {
  const limits = new Limits(defaultConfig.limits, new FakeClock())
  const { messagesPerSecond, bytesPerSecond, signalBytesPerSecond } = defaultConfig.limits.connection
  const uses: ((rates: Rates) => unknown)[] = [
    (rates) => rates.messages.take(2 * messagesPerSecond, 0),
    (rates) => rates.bytes.take(2 * bytesPerSecond, 0),
    (rates) => rates.signals.take(2 * signalBytesPerSecond, 0),
    (rates) => passes(1_200, () => rates.strike(0)),
  ]
  for (const use of uses) {
    const rates = new Rates(limits, 0)
    expect(rates.isUnused(0)).toBe(true)
    use(rates)
    expect([rates.isUnused(1_990), rates.isUnused(2_000)]).toEqual([false, true])
  }
})

test('buckets by key are forgotten when full, and a flood of keys costs no memory', () => {
  const clock = new FakeClock()
  const buckets = new KeyedBuckets(10, clock, { max: 100 })
  for (let i = 0; i < 10_000; i++) buckets.take(`address ${i}`)
  expect(buckets.size).toBeLessThanOrEqual(100)
  expect(passes(100, () => buckets.take('busy') === 0)).toBe(20)
})

describe('the limits of a node', () => {
  const at = '192.0.2.1'

  test('bound the connections of one address and of all, and count those that have ended no longer', () => {
    const values = {
      ...unlimited,
      address: { ...unlimited.address, connections: 2 },
      node: { ...unlimited.node, connections: 3 },
    }
    const limits = new Limits(values, new FakeClock())
    expect([limits.connect(at), limits.connect(at)]).toEqual([undefined, undefined])
    expect(limits.connect(at)).toMatchObject({ reason: 'too-many' })
    expect(limits.connect('192.0.2.2')).toBeUndefined()
    expect(limits.connect('192.0.2.3')).toMatchObject({ reason: 'overloaded' })
    limits.disconnected(at)
    expect(limits.connections).toBe(2)
    expect(limits.connect(at)).toBeUndefined()
  })

  test('bound the new connections of one address and of the node, and loopback only for the node', () => {
    const values = {
      ...unlimited,
      address: { ...unlimited.address, connectsPerSecond: 1 },
      node: { ...unlimited.node, connectsPerSecond: 5 },
    }
    const limits = new Limits(values, new FakeClock())
    expect(passes(100, () => limits.connect(at) === undefined)).toBe(2)
    expect(limits.connect(at)).toEqual({ reason: 'rate-limited', retryAfterMs: 1_000 })
    expect(passes(100, () => limits.connect('127.0.0.1') === undefined)).toBe(8)
    expect(limits.connect('127.0.0.1')).toMatchObject({ reason: 'overloaded' })
  })

  test('bound the failures of one address, and of one name from many addresses', () => {
    const limits = new Limits(
      { ...unlimited, address: { ...unlimited.address, failuresPerMinute: 120 } },
      new FakeClock(),
    )
    expect(passes(200, () => limits.claimFailed(at, `name ${Math.random()}`, 60) === 0)).toBe(120)
    let tries = 0
    expect(passes(100, () => limits.claimFailed(`address ${tries++}`, 'alice', 60) === 0)).toBe(60)
  })

  test('delay the answers to many refusals of one address, loopback included', () => {
    const clock = new FakeClock()
    const limits = new Limits(unlimited, clock)
    for (const address of [at, '127.0.0.1']) {
      expect(passes(200, () => limits.refusedMs(address) === 0)).toBe(100)
      expect(limits.refusedMs(address)).toBe(1_000)
    }
    expect(limits.refusedMs('192.0.2.2')).toBe(0)
  })

  test('bound the messages of one name over all its connections, and those of all names of its app', () => {
    const clock = new FakeClock()
    const used = (limits: NonNullable<ConfigInput['limits']>): AppUse => {
      const use = new AppBudgets(appsOf({ limits, apps: { default: {} } }), clock, nothing).of(app('default'))
      if (use === undefined) throw new Error('the app is not served')
      return use
    }
    const connection = (limits: Limits, name: string, use: AppUse): TokenBucket => {
      const bucket = new TokenBucket(1_000, clock.monotonic())
      bucket.parent = limits.named(name, use)
      return bucket
    }
    const take = (bucket: TokenBucket): boolean => bucket.take(1, clock.monotonic()) === 0
    const limits = new Limits(unlimited, clock)
    const chat = used({ name: { messagesPerSecond: 5 }, app: { messagesPerSecond: 8 } })
    const [first, second] = [
      connection(limits, 'default/alice', chat),
      connection(limits, 'default/alice', chat),
    ]
    expect(passes(100, () => take(first))).toBe(10)
    expect(passes(100, () => take(second))).toBe(0)
    expect(passes(100, () => take(connection(limits, 'default/bob', chat)))).toBe(6)
    const open = used({ name: { messagesPerSecond: 0 }, app: { messagesPerSecond: 0 } })
    expect(passes(1_000, () => take(connection(new Limits(unlimited, clock), 'default/alice', open)))).toBe(
      1_000,
    )
  })

  test('bound the lookups of one address', () => {
    const limits = new Limits(
      { ...unlimited, address: { ...unlimited.address, lookupsPerSecond: 10 } },
      new FakeClock(),
    )
    expect(limits.lookups(at, 20)).toBe(0)
    expect(limits.lookups(at, 1)).toBe(100)
    expect(limits.lookups('192.0.2.2', 1)).toBe(0)
    expect([limits.lookups('127.0.0.1', 1_000), limits.lookups('127.0.0.1', 1_000)]).toEqual([0, 0])
  })

  test('refuse nothing when they are 0', () => {
    const limits = new Limits(unlimited, new FakeClock())
    expect(passes(10_000, () => limits.connect(at) === undefined)).toBe(10_000)
    expect(new Limits(defaultConfig.limits, new FakeClock()).connect(at)).toBeUndefined()
  })
})
