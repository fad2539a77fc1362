import { beforeEach, describe, expect, it, vi } from 'vitest'
import { connectOn } from '../connect.js'
import { PeerageError } from '../lib/error.js'
import type { LoadOptions } from './modules.js'
import { loadModule } from './modules.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeTier } from '../testing/fake-tier.js'
import { modules, platform } from '../testing/platform.js'

const MODULE = { run: () => 'loaded' }
/** Safari's text, which names no URL. */
const UNREACHABLE = new TypeError('Importing a module script failed.')

let clock: FakeClock
let asked: number

beforeEach(() => {
  clock = new FakeClock()
  asked = 0
})

/** A load that fails `times` times, then succeeds. */
const failing =
  (times: number, error: unknown = UNREACHABLE) =>
  (): Promise<typeof MODULE> => {
    asked++
    return asked > times ? Promise.resolve(MODULE) : Promise.reject(error)
  }

function start(load: () => Promise<typeof MODULE>, signal?: AbortSignal): { result: unknown } {
  const seen: { result: unknown } = { result: undefined }
  loadModule(load, 'run', { clock, signal }).then(
    (module) => (seen.result = module),
    (error: unknown) => (seen.result = error),
  )
  return seen
}

const codeOf = (result: unknown): unknown => (result instanceof PeerageError ? result.code : result)

describe('[PP39] a file of the SDK that is loaded later', () => {
  it('is requested again, after growing waits, while the network fails', async () => {
    const seen = start(failing(3))
    await clock.advance(249)
    expect(asked).toBe(1)
    // One request at each attempt, because this error names no URL.
    await clock.advance(1)
    expect(asked).toBe(2)
    await clock.advance(500 + 1_000)
    expect(seen.result).toBe(MODULE)
    expect(asked).toBe(4)
    expect(clock.pending).toBe(0)
  })

  it('that cannot be loaded is `not-loaded` at the deadline, with the last cause and what to do', async () => {
    const seen = start(failing(Infinity))
    await clock.advance(30_000)
    expect(codeOf(seen.result)).toBe('not-loaded')
    expect(String(seen.result)).toContain(UNREACHABLE.message)
    expect(String(seen.result)).toContain('@peerage/client/static')
    const before = asked
    await clock.advance(60_000)
    expect(asked).toBe(before)
  })

  it('is `not-loaded` at the deadline if its download hangs', async () => {
    const seen = start(() => new Promise(() => undefined))
    await clock.advance(30_000)
    expect(codeOf(seen.result)).toBe('not-loaded')
    expect(clock.pending).toBe(0)
  })

  it('is not requested again after an abort, which rejects with the reason of the signal', async () => {
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

  it('is named in the error if a timeout ends the wait for it', async () => {
    const abort = new AbortController()
    const seen = start(failing(Infinity), abort.signal)
    await settled()
    abort.abort(new PeerageError('timeout'))
    await settled()
    expect(codeOf(seen.result)).toBe('not-loaded')
  })

  it('is not requested at all if the signal is aborted already', async () => {
    const seen = start(failing(0), AbortSignal.abort('before'))
    await settled()
    expect([seen.result, asked]).toEqual(['before', 0])
  })

  it.each(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'])(
    'fails at once if Node has no such file (%s)',
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

describe('[PP39] connect, when a file of the SDK cannot be loaded', () => {
  function connecting(load: () => Promise<never>): { tier: FakeTier; seen: { error?: unknown } } {
    const tier = new FakeTier(clock)
    const broken = {
      ...modules,
      p2p: (options: LoadOptions) => loadModule(load, 'createP2P', options),
    }
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
  ])('rejects at its timeout, and gives its name back (the load $why)', async ({ load, code }) => {
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

  it('rejects at once if Node has no such file', async () => {
    const missing = Object.assign(new Error("Cannot find module './p2p.js'"), {
      code: 'ERR_MODULE_NOT_FOUND',
    })
    const { tier, seen } = connecting(() => Promise.reject(missing))
    await clock.advance(10)
    expect(codeOf(seen.error)).toBe('not-loaded')
    expect([...tier.holders.keys()]).toEqual([])
  })
})
