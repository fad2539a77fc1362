import { closeCodes } from '@peerage/protocol'
import type { ErrorCode, NodeMessageOf } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { beforeEach, expect, test, vi } from 'vitest'
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import type { Peer } from '../peer.js'
import { staticModules } from '../platform/static-modules.js'
import { FakeTier } from '../testing/fake-tier.js'
import { platform } from '../testing/platform.js'
import type { FailedAttempt } from './connector.js'

let clock: FakeClock
let tier: FakeTier
let made: number

beforeEach(() => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
  made = 0
})

const token = (): string => `token${++made}`

function start(options: ConnectOptions = {}): { peer?: Peer; error?: unknown; failed: FailedAttempt[] } {
  const seen: ReturnType<typeof start> = { failed: [] }
  const onRetry = (failed: FailedAttempt): unknown => seen.failed.push(failed)
  const all = { clock, transport: tier.open, p2p: false as const, name: 'ann', onRetry, ...options }
  connectOn(platform, staticModules, 'http://tier', all).then(
    (peer) => (seen.peer = peer),
    (error: unknown) => (seen.error = error),
  )
  return seen
}

async function join(options: ConnectOptions = {}): Promise<Peer> {
  const joining = start(options)
  await clock.advance(5)
  if (joining.peer === undefined) throw joining.error
  return joining.peer
}

test.each<ErrorCode>(['bad-token', 'token-expired'])(
  '[WL13] if a hello is refused with %s, a fixed token is refused for good',
  async (code) => {
    for (const options of [{}, { token: 'the only one' }]) {
      tier.refusals = [{ code }]
      const refused = start(options)
      await clock.advance(5)
      expect(refused.error).toMatchObject({ code, message: expect.stringMatching(/^refused/) })
      expect(refused.failed).toEqual([])
    }
    expect(clock.pending).toBe(0)
  },
)

test('[WL13] a function makes another token for an expired one, with growing waits', async () => {
  tier.refusals = Array.from({ length: 5 }, () => ({ code: 'token-expired' as const }))
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const joining = start({ token })
  await clock.advance(20_000)
  vi.restoreAllMocks()
  expect(joining.failed.map(({ delayMs }) => delayMs)).toEqual([500, 1_000, 2_000, 4_000, 8_000])
  expect(joining.peer?.state.state).toBe('online')
  expect(tier.tokens).toEqual(['token1', 'token2', 'token3', 'token4', 'token5', 'token6'])
})

test('[WL13] a function makes another token twice for a bad one, then the refusal is final', async () => {
  tier.refusals = Array.from({ length: 4 }, () => ({ code: 'bad-token' as const }))
  const refused = start({ token })
  await clock.advance(5_000)
  expect(refused.error).toMatchObject({ code: 'bad-token' })
  expect(tier.tokens).toEqual(['token1', 'token2', 'token3'])
  expect(clock.pending).toBe(0)
})

test('[WL13] a welcome ends the row of bad tokens, another refusal does not', async () => {
  tier.refusals = [{ code: 'bad-token' }, { code: 'bad-token' }]
  const joining = start({ token })
  await clock.advance(5_000)
  const { peer } = joining
  expect(peer?.state.state).toBe('online')
  tier.refusals = [
    { code: 'bad-token' },
    { code: 'overloaded' },
    { code: 'token-expired' },
    { code: 'bad-token' },
    { code: 'access-unavailable' },
  ]
  tier.cut('ann')
  await clock.advance(60_000)
  expect(peer?.state.state).toBe('online')
  tier.refusals = [
    { code: 'bad-token' },
    { code: 'overloaded' },
    { code: 'bad-token' },
    { code: 'bad-token' },
  ]
  peer?.on('state', () => {})
  tier.cut('ann')
  await clock.advance(60_000)
  expect(peer?.state).toMatchObject({ state: 'closed', reason: 'bad-token' })
})

test('[WL13] access rules that cannot be checked are asked again, and a ban is final', async () => {
  tier.refusals = [{ code: 'access-unavailable', retryAfterMs: 3_000 }]
  const joining = start({ token: 'the only one' })
  await clock.advance(2_990)
  expect(joining.failed).toMatchObject([{ delayMs: 3_000, error: { code: 'access-unavailable' } }])
  await clock.advance(20)
  expect(joining.peer?.state.state).toBe('online')
  tier.refusals = [{ code: 'banned', retryAfterMs: 60_000 }]
  const banned = start({ name: 'bob', token })
  await clock.advance(5)
  expect(banned.error).toMatchObject({ code: 'banned', retryAfterMs: 60_000 })
})

interface End {
  /** The code of the WebSocket. */
  code: number
  closing?: Partial<NodeMessageOf<'closing'>>
}

const DEFAULT = 'an application server closed the connection'

test.each<[string, End, { code?: number; detail: string }]>([
  ['no code and no text', { code: 4505, closing: {} }, { detail: DEFAULT }],
  ['no closing', { code: 4505 }, { detail: DEFAULT }],
  ['an empty text', { code: 4505, closing: { text: '' } }, { detail: DEFAULT }],
  ['a code and a text', { code: 4950, closing: { code: 4950, text: 'bye' } }, { code: 4950, detail: 'bye' }],
  [
    'a code that a proxy replaced',
    { code: 1006, closing: { code: 4900, text: 'bye' } },
    { code: 4900, detail: 'bye' },
  ],
  ['a code without closing', { code: 4999 }, { code: 4999, detail: DEFAULT }],
  // An application server may not choose these.
  ['4399', { code: 4505, closing: { code: 4399 } }, { detail: DEFAULT }],
  ['4500', { code: 4505, closing: { code: 4500 } }, { detail: DEFAULT }],
  ['4899', { code: 4505, closing: { code: 4899 } }, { detail: DEFAULT }],
  ['5000', { code: 4505, closing: { code: 5000 } }, { detail: DEFAULT }],
  ['1000', { code: 4505, closing: { code: 1000 } }, { detail: DEFAULT }],
])('[WC9] disconnected for good: %s', async (_, { code, closing }, end) => {
  const peer = await join({ token })
  peer.on('state', () => {})
  tier.disconnect('ann', code, closing)
  expect(peer.state).toEqual({ state: 'closed', reason: 'disconnected', ...end })
  await clock.advance(60_000)
  expect(peer.state.state).toBe('closed')
  expect(clock.pending).toBe(0)
})

const CLOSED = 'the node closed the connection (disconnected)'

test.each<[string, End, string]>([
  ['a code', { code: 4400, closing: { code: 4400 } }, CLOSED],
  ['a code and a text', { code: 4499, closing: { code: 4499, text: 'moved' } }, 'moved'],
  ['a code that a proxy replaced', { code: 1006, closing: { code: 4450 } }, CLOSED],
  ['a code without closing', { code: 4450 }, CLOSED],
])('[WC9] disconnected, and the SDK comes back: %s', async (_, { code, closing }, why) => {
  const peer = await join()
  const { since } = peer
  tier.disconnect('ann', code, closing)
  expect(peer.state).toMatchObject({
    state: 'reconnecting',
    cause: { code: 'disconnected', message: why },
  })
  await clock.advance(1_010)
  expect([peer.state.state, peer.since]).toEqual(['online', since])
})

test('[WC9] an application server names the time after which the SDK comes back', async () => {
  const peer = await join()
  tier.disconnect('ann', 4400, { code: 4400, retryAfterMs: 9_000 })
  expect(peer.state).toMatchObject({ state: 'reconnecting', delayMs: 9_000 })
})

test('[WC9] before the welcome, connect rejects with the text of the application server', async () => {
  const refused = start({
    transport: (_hello, events) => {
      clock.after(1, () => {
        events.message({ type: 'closing', reason: 'disconnected', code: 4901, text: 'not today' })
        events.closed(4901)
      })
      return { send: () => false, close: () => {} }
    },
  })
  await clock.advance(5)
  expect(refused.error).toMatchObject({ code: 'disconnected', message: 'not today' })
})

test('[WC9] the text and the code of another reason change nothing', async () => {
  const peer = await join()
  peer.on('state', () => {})
  tier.disconnect('ann', closeCodes.superseded, { reason: 'superseded', code: 4400, text: 'come back' })
  expect(peer.state).toEqual({
    state: 'closed',
    reason: 'superseded',
    detail: expect.not.stringContaining('come back'),
  })
})

test('[WL13] an ended token is renewed by the next hello, and the name stays with its holder', async () => {
  const peer = await join({ token })
  const { since } = peer
  tier.disconnect('ann', closeCodes['token-expired'], { reason: 'token-expired' })
  expect(peer.state).toMatchObject({ state: 'reconnecting', cause: { code: 'token-expired' } })
  await clock.advance(1_010)
  expect([peer.state.state, peer.since, tier.tokens]).toEqual(['online', since, ['token1', 'token2']])
})
