import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import { connect } from '../entries/node.js'
import { unlessAborted } from '../lib/abort.js'
import type { Peer } from '../peer.js'
import type { LoadOptions } from '../platform/modules.js'
import { staticModules } from '../platform/static-modules.js'
import { FakeTier } from '../testing/fake-tier.js'
import { platform } from '../testing/platform.js'

let clock: FakeClock
let tier: FakeTier
/** When the application's function was called, in milliseconds from the first call. */
let asked: number[]

const MINUTE_MS = 60_000

beforeEach(() => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
  asked = []
})

afterEach(() => {
  vi.restoreAllMocks()
})

const token = (): string => `token${asked.push(clock.monotonic())}`

async function join(options: ConnectOptions = {}): Promise<Peer> {
  const all = { clock, transport: tier.open, p2p: false as const, name: 'ann', token, ...options }
  const joining = connectOn(platform, staticModules, 'http://tier', all)
  await clock.advance(5)
  return joining
}

/** The errors that the application hears: the stage and the text of each. */
function errorsOf(peer: Peer): string[] {
  const heard: string[] = []
  peer.on('error', (error, stage) =>
    heard.push(`${stage}: ${error instanceof Error ? error.message : String(error)}`),
  )
  return heard
}

/** The times between the calls of the function, in milliseconds. */
const gaps = (): number[] => asked.slice(1).map((at, i) => at - (asked[i] ?? 0))

test.each([
  [0, 0.7],
  [0.5, 0.8],
  [1 - 2 ** -53, 0.9],
])('[WL10] with the random number %d the function is asked after %d of the time', async (random, share) => {
  vi.spyOn(Math, 'random').mockReturnValue(random)
  tier.tokenMs = 3_600_000
  const peer = await join()
  for (let i = 0; i < 3; i++) await clock.advance(3_600_000 * share + 10)
  expect(asked).toHaveLength(4)
  for (const gap of gaps()) expect(gap / 3_600_000).toBeCloseTo(share, 4)
  expect(tier.tokens).toEqual(['token1', 'token2', 'token3', 'token4'])
  expect(peer.state.state).toBe('online')
  peer.close()
  expect(clock.pending).toBe(0)
})

test.each([
  [0, 1_000],
  [1, 1_000],
  [5_500, 1_000],
  [10_000, 5_000],
  [2 ** 31, 0.9 * 2 ** 31],
  [Number.MAX_SAFE_INTEGER, 2 ** 31 - 1],
])('[WL10] a token that ends in %d ms is renewed after at most %d ms', async (tokenMs, waitMs) => {
  vi.spyOn(Math, 'random').mockReturnValue(1 - 2 ** -53)
  const after = vi.spyOn(clock, 'after')
  tier.tokenMs = tokenMs
  const peer = await join()
  await clock.advance(waitMs - 10)
  expect(asked).toHaveLength(1)
  await clock.advance(20)
  expect(asked).toHaveLength(2)
  // A longer timer would end at once.
  for (const [ms] of after.mock.calls) expect(ms).toBeLessThan(2 ** 31)
  peer.close()
  expect(clock.pending).toBe(0)
})

test('[WL10] if the new token does not end, or the node says no end, nothing is asked again', async () => {
  const endless = await join({ name: 'eve' })
  tier.tokenMs = MINUTE_MS
  await join()
  tier.tokenMs = undefined
  await clock.advance(MINUTE_MS)
  expect(tier.tokens).toEqual(['token1', 'token2', 'token3'])
  await clock.advance(1_000 * MINUTE_MS)
  expect(asked).toHaveLength(3)
  endless.close()
})

test('[WL10] a fixed token is not renewed, and its end closes the peer for good', async () => {
  tier.tokenMs = MINUTE_MS
  const peer = await join({ token: 'the only one' })
  await clock.advance(MINUTE_MS)
  expect(tier.tokens).toEqual(['the only one'])
  tier.cut('ann', 'token-expired')
  expect(peer.state).toMatchObject({
    state: 'closed',
    reason: 'token-expired',
    detail: expect.stringContaining('Pass a function as `token`'),
  })
  expect(clock.pending).toBe(0)
})

test('[WL10] at most one call a second, whatever times a node says', async () => {
  tier.tokenMs = 0
  await join()
  await clock.advance(MINUTE_MS)
  expect(asked.length).toBeGreaterThan(50)
  expect(Math.min(...gaps())).toBeGreaterThanOrEqual(1_000)
})

test.each([1, 500, 1_001, 2_500])(
  '[WL10] [WL1] a node that also ends each connection after %d ms causes at most 1.5 calls a second',
  async (lastsMs) => {
    tier.tokenMs = 0
    const peer = await join()
    errorsOf(peer)
    while (clock.monotonic() < 10 * MINUTE_MS) {
      await clock.advance(lastsMs)
      tier.cut('ann', 'token-expired')
      while (peer.state.state !== 'online') await clock.advance(10)
    }
    expect(asked.length / 600).toBeLessThan(1.5)
    peer.close()
  },
)

test('[WL10] a clock that is set does not change when the function is asked', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  for (const jumpMs of [-1e12, 1e12]) {
    asked = []
    tier.tokenMs = 100_000
    const peer = await join({ name: `ann${jumpMs}` })
    clock.jump(jumpMs)
    await clock.advance(79_900)
    expect(asked).toHaveLength(1)
    await clock.advance(200)
    expect(asked).toHaveLength(2)
    peer.close()
  }
})

test('[WL11] a failed renewal is an `error` event, and is tried again with growing waits', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  tier.tokenMs = 1_000_000
  let isBroken = false
  const peer = await join({
    token: () => {
      const made = token()
      if (isBroken) throw new Error('the token server is down')
      return made
    },
  })
  const heard = errorsOf(peer)
  isBroken = true
  await clock.advance(700_000 + 1_000 + 2_000 + 4_000 + 8_000 + 16_000 + 30_000 + 30_000)
  expect(gaps()).toEqual(
    [700_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].map((ms) => expect.closeTo(ms, -2)),
  )
  expect(heard).toHaveLength(8)
  expect(heard[0]).toBe('token: the function `token` failed: the token server is down')
  isBroken = false
  await clock.advance(30_000)
  expect(tier.tokens.at(-1)).toBe('token10')
  // After a success the waits begin again.
  await clock.advance(699_000)
  expect(asked).toHaveLength(10)
  isBroken = true
  await clock.advance(2_000)
  expect(asked).toHaveLength(12)
  expect(peer.state.state).toBe('online')
})

test('[WL11] a renewal that the node refuses or does not answer is tried again, with another token', async () => {
  tier.tokenMs = MINUTE_MS
  const peer = await join()
  const heard = errorsOf(peer)
  tier.renewals = ['bad-token', 'access-unavailable', undefined]
  await clock.advance(MINUTE_MS + 20_000)
  expect(heard).toEqual([
    'token: the token was not renewed: the token is refused',
    'token: the token was not renewed: the token is refused',
    expect.stringMatching(/^token: the token was not renewed: the node did not answer within 5 s/),
  ])
  expect(tier.tokens.slice(0, 5)).toEqual(['token1', 'token2', 'token3', 'token4', 'token5'])
  expect(peer.state.state).toBe('online')
})

test('[WL11] a function that returns no token in time, or no text, or a long one, is named in the error', async () => {
  tier.tokenMs = MINUTE_MS
  const answers: unknown[] = ['first', new Promise(() => {}), 7, 's3cret'.repeat(2_000), 'last']
  const peer = await join({ token: () => (token(), answers.shift() as string) })
  const heard = errorsOf(peer)
  await clock.advance(MINUTE_MS + 30_000)
  expect(heard).toEqual([
    'token: the function `token` returned nothing within 10 s',
    'token: what `token` returns must be a string; it is 7',
    'token: what `token` returns must have at most 8192 characters; it has 12000',
  ])
  expect(tier.tokens.slice(0, 2)).toEqual(['first', 'last'])
})

// Regression: the late answer stopped the timer of the next attempt.
test('[WL11] an answer that comes too late changes nothing', async () => {
  tier.tokenMs = MINUTE_MS
  const late: ((token: string) => void)[] = []
  const peer = await join({
    token: () => (token() === 'token2' ? new Promise((resolve) => late.push(resolve)) : 'fresh'),
  })
  errorsOf(peer)
  while (late.length === 0) await clock.advance(1_000)
  await clock.advance(10_000)
  late[0]?.('late')
  await clock.advance(3_000)
  expect(tier.tokens).toEqual(['fresh', 'fresh'])
})

test('[WL12] the function is never called twice at once, even if the connection is lost during a renewal', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  tier.tokenMs = MINUTE_MS
  const answers: ((token: string) => void)[] = []
  const joining = join({ token: () => (token(), new Promise((resolve) => answers.push(resolve))) })
  await clock.advance(1)
  answers[0]?.('first')
  await clock.advance(5)
  const peer = await joining
  const heard = errorsOf(peer)
  while (answers.length === 1) await clock.advance(1_000)
  tier.cut('ann')
  await clock.advance(2_000)
  expect(answers).toHaveLength(2)
  answers[1]?.('second')
  await clock.advance(5)
  expect(peer.state.state).toBe('online')
  expect(tier.tokens).toEqual(['first', 'second'])
  // The time of the new connection's token counts from its own welcome.
  await clock.advance(0.69 * MINUTE_MS)
  expect(answers).toHaveLength(2)
  expect(heard).toEqual([])
  await clock.advance(0.25 * MINUTE_MS)
  expect(answers).toHaveLength(3)
})

test('[WL12] a hello does not wait twice for a call that hangs, and takes no token of an earlier renewal', async () => {
  tier.tokenMs = MINUTE_MS
  let hangs = false
  const peer = await join({ token: () => (hangs ? (token(), new Promise<string>(() => {})) : token()) })
  errorsOf(peer)
  await clock.advance(0.95 * MINUTE_MS)
  expect(tier.tokens).toEqual(['token1', 'token2'])
  tier.cut('ann')
  await clock.advance(1_010)
  expect(tier.tokens).toEqual(['token1', 'token2', 'token3'])
  hangs = true
  while (asked.length < 4) await clock.advance(1_000)
  hangs = false
  tier.cut('ann')
  await clock.advance(15_000)
  expect(peer.state.state).toBe('online')
  expect(tier.tokens.at(-1)).toBe('token5')
})

test('[WL12] many welcomes of one connection cause no calls at once', async () => {
  tier.tokenMs = 0
  let open = 0
  let most = 0
  const slow = async (): Promise<string> => {
    most = Math.max(most, ++open)
    await new Promise<void>((resolve) => clock.after(5_000, resolve))
    open--
    return token()
  }
  const joining = join({ token: slow })
  await clock.advance(5_010)
  const peer = await joining
  const welcomes = [...tier.holders.values()].map((holder) => tier.welcome(holder))
  for (const welcome of Array.from({ length: 20 }, () => welcomes).flat()) {
    tier.hand('ann', welcome)
    await clock.advance(1_100)
  }
  expect(most).toBe(1)
  peer.close()
  await settled()
  expect(open).toBeLessThanOrEqual(1)
})

test('[WL10] nothing is left when a peer is closed during a renewal, at any of its steps', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1 - 2 ** -53)
  for (const advanceMs of [10_000, 0.95 * MINUTE_MS]) {
    tier.tokenMs = MINUTE_MS
    tier.renewals = [undefined]
    const peer = await join({ name: `ann${advanceMs}` })
    const heard = errorsOf(peer)
    await clock.advance(advanceMs)
    peer.close()
    await settled()
    expect(clock.pending).toBe(0)
    expect(heard).toEqual([])
  }
  const answers: ((token: string) => void)[] = []
  const joining = join({ name: 'eve', token: () => new Promise((resolve) => answers.push(resolve)) })
  await clock.advance(1)
  answers[0]?.('first')
  await clock.advance(5)
  const peer = await joining
  const heard = errorsOf(peer)
  while (answers.length === 1) await clock.advance(1_000)
  peer.close()
  answers[1]?.('second')
  await settled()
  expect(clock.pending).toBe(0)
  expect(heard).toEqual([])
  expect(tier.tokens).not.toContain('second')
})

test('[WL10] the code for renewals is loaded at the first welcome that says an end', async () => {
  tier.tokenMs = MINUTE_MS
  const joining = connect('http://tier', { clock, transport: tier.open, p2p: false, name: 'ann', token })
  await vi.waitFor(async () => {
    await clock.advance(5)
    expect(tier.tokens).toHaveLength(1)
  })
  const peer = await joining
  await vi.waitFor(() => expect(clock.pending).toBe(1))
  await clock.advance(0.95 * MINUTE_MS)
  expect(tier.tokens).toEqual(['token1', 'token2'])
  peer.close()
})

test('[WL11] if the code for renewals cannot be loaded, that is an error, and the next connection loads it again', async () => {
  tier.tokenMs = MINUTE_MS
  let loads = 0
  const modules = {
    ...staticModules,
    renewal: () =>
      ++loads === 1
        ? Promise.reject(new Error('offline'))
        : staticModules.renewal({ clock, signal: undefined }),
  }
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const joining = connectOn(platform, modules, 'http://tier', {
    clock,
    transport: tier.open,
    p2p: false,
    name: 'ann',
    token,
  })
  await clock.advance(5)
  const peer = await joining
  expect(said).toHaveBeenCalledOnce()
  await clock.advance(MINUTE_MS)
  tier.cut('ann', 'token-expired')
  await clock.advance(1_010)
  expect(peer.state.state).toBe('online')
  await clock.advance(0.95 * MINUTE_MS)
  expect(tier.tokens).toEqual(['token1', 'token2', 'token3'])
  peer.close()
})

test('[WL10] a peer that is closed while the code for renewals is loaded reports no error', async () => {
  tier.tokenMs = MINUTE_MS
  const modules = {
    ...staticModules,
    renewal: ({ signal }: LoadOptions) => unlessAborted(new Promise<never>(() => {}), signal),
  }
  const all = { clock, transport: tier.open, p2p: false as const, name: 'ann', token }
  const joining = connectOn(platform, modules, 'http://tier', all)
  await clock.advance(5)
  const peer = await joining
  const heard = errorsOf(peer)
  peer.close()
  await settled()
  expect([heard, clock.pending]).toEqual([[], 0])
})
