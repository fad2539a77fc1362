import { beforeEach, describe, expect, it, vi } from 'vitest'
import { connectOn } from '../connect.js'
import { PeerageError } from '../lib/error.js'
import type { PartWait } from './parts.js'
import { loadPart } from './parts.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeTier } from '../testing/fake-tier.js'
import { parts, platform } from '../testing/platform.js'

const PART = { run: () => 'loaded' }
/** As Safari says it: without a URL. */
const UNREACHABLE = new TypeError('Importing a module script failed.')

let clock: FakeClock
let asked: number

beforeEach(() => {
  clock = new FakeClock()
  asked = 0
})

/** Fails so many times before it is there. */
const failing =
  (times: number, error: unknown = UNREACHABLE) =>
  (): Promise<typeof PART> => {
    asked++
    return asked > times ? Promise.resolve(PART) : Promise.reject(error)
  }

function start(load: () => Promise<typeof PART>, signal?: AbortSignal): { result: unknown } {
  const seen: { result: unknown } = { result: undefined }
  loadPart(load, 'run', { clock, signal }).then(
    (part) => (seen.result = part),
    (error: unknown) => (seen.result = error),
  )
  return seen
}

const codeOf = (result: unknown): unknown => (result instanceof PeerageError ? result.code : result)

describe('[PP39] a part of the SDK that is a file of its own', () => {
  it('is asked for again, later each time, while the network fails', async () => {
    const seen = start(failing(3))
    await clock.advance(249)
    expect(asked).toBe(1)
    // Asked for once more under the same URL at each attempt; this error names no other.
    await clock.advance(1)
    expect(asked).toBe(2)
    await clock.advance(500 + 1_000)
    expect(seen.result).toBe(PART)
    expect(asked).toBe(4)
    expect(clock.pending).toBe(0)
  })

  it('that never comes is `not-loaded` at the deadline, with the last cause and what to do', async () => {
    const seen = start(failing(Infinity))
    await clock.advance(30_000)
    expect(codeOf(seen.result)).toBe('not-loaded')
    expect(String(seen.result)).toContain(UNREACHABLE.message)
    expect(String(seen.result)).toContain('@peerage/client/static')
    const before = asked
    await clock.advance(60_000)
    expect(asked).toBe(before)
  })

  it('is not waited for longer although its download hangs', async () => {
    const seen = start(() => new Promise(() => undefined))
    await clock.advance(30_000)
    expect(codeOf(seen.result)).toBe('not-loaded')
    expect(clock.pending).toBe(0)
  })

  it('ends with the reason of the signal, and asks no more', async () => {
    const abort = new AbortController()
    const seen = start(failing(Infinity), abort.signal)
    await settled()
    const reason = new Error('enough')
    abort.abort(reason)
    await settled()
    expect(seen.result).toBe(reason)
    await clock.advance(60_000)
    expect(asked).toBe(1)
    expect(clock.pending).toBe(0)
  })

  it('is named by a timeout that ends it', async () => {
    const abort = new AbortController()
    const seen = start(failing(Infinity), abort.signal)
    await settled()
    abort.abort(new PeerageError('timeout'))
    await settled()
    expect(codeOf(seen.result)).toBe('not-loaded')
  })

  it('fails at once where it was aborted before', async () => {
    const seen = start(failing(0), AbortSignal.abort('before'))
    await settled()
    expect([seen.result, asked]).toEqual(['before', 0])
  })

  it.each(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'])(
    'fails at once where Node has no file (%s)',
    async (code) => {
      const seen = start(failing(1, Object.assign(new Error('Cannot find module'), { code })))
      await settled()
      expect(codeOf(seen.result)).toBe('not-loaded')
      expect(clock.pending).toBe(0)
    },
  )

  it('fails at once in a service worker, which may not load code later', async () => {
    vi.stubGlobal('ServiceWorkerGlobalScope', Object)
    try {
      const seen = start(failing(1))
      await settled()
      expect(codeOf(seen.result)).toBe('not-loaded')
    } finally {
      vi.unstubAllGlobals()
    }
  })
})

describe('[PP39] connect, where its part cannot be had', () => {
  function connecting(load: () => Promise<never>): { tier: FakeTier; seen: { error?: unknown } } {
    const tier = new FakeTier(clock)
    const broken = { ...parts, p2p: (wait: PartWait) => loadPart(load, 'createP2P', wait) }
    const seen: { error?: unknown } = {}
    connectOn(platform, broken, 'http://tier', {
      clock,
      transport: tier.open,
      name: 'ann',
      timeoutMs: 5_000,
    }).catch((error: unknown) => (seen.error = error))
    return { tier, seen }
  }

  it.each([
    { why: 'fails', load: () => Promise.reject(UNREACHABLE), code: 'not-loaded' },
    { why: 'hangs', load: () => new Promise<never>(() => undefined), code: 'timeout' },
  ])('it $why: rejects when its time is over, and leaves its name', async ({ load, code }) => {
    const { tier, seen } = connecting(load)
    await clock.advance(4_999)
    expect(seen.error).toBeUndefined()
    expect([...tier.holders.keys()]).toEqual(['ann'])
    await clock.advance(1)
    expect(codeOf(seen.error)).toBe(code)
    expect([...tier.holders.keys()]).toEqual([])
    await clock.advance(60_000)
    expect(clock.pending).toBe(0)
  })

  it('there is none in Node: rejects at once', async () => {
    const missing = Object.assign(new Error("Cannot find module './p2p.js'"), {
      code: 'ERR_MODULE_NOT_FOUND',
    })
    const { tier, seen } = connecting(() => Promise.reject(missing))
    await clock.advance(10)
    expect(codeOf(seen.error)).toBe('not-loaded')
    expect([...tier.holders.keys()]).toEqual([])
  })
})
