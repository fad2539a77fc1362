import { beforeEach, describe, expect, test } from 'vitest'
import { connect } from './entries/node.js'
import type { ConnectOptions } from './connect.js'
import type { Peer } from './peer.js'
import { createHooks } from './react.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeStorage } from './testing/fake-page.js'
import { FakeTier } from './testing/fake-tier.js'

// One page connects with one name more than once. In React's StrictMode an effect runs, is cleaned up, and runs again.

let clock: FakeClock
let tier: FakeTier
let storage: FakeStorage

beforeEach(() => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
  storage = new FakeStorage()
})

const start = (options: ConnectOptions = {}): Promise<Peer> =>
  connect('http://tier', { name: 'ann', clock, transport: tier.open, p2p: false, storage, ...options })

/** The peer after a reload of the page. It must be the same holder of its name. */
async function reloaded(peer: Peer): Promise<Peer> {
  const { since } = peer
  peer.close()
  const again = start()
  await clock.advance(10)
  const back = await again
  expect(back.since).toBe(since)
  return back
}

describe('two connects with one name at once', () => {
  test('[WL9] [I8] the connect that is refused does not change the secret of the other', async () => {
    const outcomes = Promise.allSettled([start(), start()])
    await clock.advance(10)
    const [first, second] = await outcomes
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'name-taken' } })
    if (first.status !== 'fulfilled') return expect.unreachable()
    const back = await reloaded(first.value)
    await reloaded(back)
  })

  test('[WL9] [I8] the connect that is aborted does not change the secret of the other', async () => {
    const giveUp = new AbortController()
    const waiting: (() => void)[] = []
    // The hello of this connect is never answered.
    const aborted = start({
      signal: giveUp.signal,
      transport: () => ({ send: () => true, close: () => new Promise((resolve) => waiting.push(resolve)) }),
    })
    const joined = start()
    await clock.advance(10)
    const peer = await joined
    giveUp.abort(new Error('unmounted'))
    await expect(aborted).rejects.toThrow('unmounted')
    for (const end of waiting) end()
    await settled()
    await reloaded(peer)
  })
})

/** Runs an effect as StrictMode does. */
function strictly(effect: () => () => void): void {
  effect()()
  effect()
}

describe('an effect of React in StrictMode', () => {
  /** A component that shows the state of its peer. */
  function shown(peer: Peer): string {
    const { usePeerState } = createHooks({ useSyncExternalStore: (_, snapshot) => snapshot() })
    return usePeerState(peer).state
  }

  test('that aborts on clean-up: the second run gets the name, and a reload finds it', async () => {
    const joined: Peer[] = []
    const failed: unknown[] = []
    const effect = (): (() => void) => {
      const end = new AbortController()
      start({ signal: end.signal }).then(
        (peer) => joined.push(peer),
        (error: unknown) => end.signal.aborted || failed.push(error),
      )
      return () => end.abort()
    }
    strictly(effect)
    await clock.advance(10)
    const [peer] = joined
    if (peer === undefined) return expect.unreachable()
    expect([joined.length, failed, shown(peer)]).toEqual([1, [], 'online'])
    await reloaded(await reloaded(peer))
  })

  test('that does not clean up: the first run gets the name, and a reload finds it', async () => {
    const joined: Peer[] = []
    const failed: unknown[] = []
    strictly(() => {
      start().then(
        (peer) => joined.push(peer),
        (error: unknown) => failed.push(error),
      )
      return () => {}
    })
    await clock.advance(10)
    const [peer] = joined
    if (peer === undefined) return expect.unreachable()
    expect(failed).toMatchObject([{ code: 'name-taken' }])
    expect(shown(peer)).toBe('online')
    await reloaded(await reloaded(peer))
  })

  test('[WL7] after a leave: the leave is over before the next hello goes out', async () => {
    const joining = start()
    await clock.advance(10)
    const first = await joining
    void first.leave()
    const second = start()
    await clock.advance(10)
    expect((await second).state.state).toBe('online')
    await reloaded(await second)
  })
})

describe('giving up', () => {
  /** A node that never answers a hello, and closes the connection when the test says so. */
  function silentNode(): { sent: unknown[]; open: ConnectOptions['transport']; close: () => void } {
    const sent: unknown[] = []
    let close = (): void => {}
    const open: ConnectOptions['transport'] = () => ({
      send: (message) => sent.push(message) > 0,
      close: () => new Promise((resolve) => (close = resolve)),
    })
    return { sent, open, close: () => close() }
  }

  test('[WL7] an aborted connect withdraws its hello, and the next connect waits until the node knows', async () => {
    const node = silentNode()
    const giveUp = new AbortController()
    const aborted = start({ signal: giveUp.signal, transport: node.open, storage: null })
    await clock.advance(5)
    giveUp.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    expect(node.sent).toEqual([{ type: 'leave', onlyNew: true }])
    const next = start({ storage: null })
    await clock.advance(10)
    expect(tier.holders.size).toBe(0)
    node.close()
    await settled()
    await clock.advance(10)
    expect((await next).name).toBe('ann')
  })

  test('[WL7] so does a connect that timed out', async () => {
    const node = silentNode()
    const late = start({ timeoutMs: 500, transport: node.open, storage: null })
    late.catch(() => {})
    await clock.advance(500)
    await expect(late).rejects.toMatchObject({ code: 'timeout' })
    expect(node.sent).toEqual([{ type: 'leave', onlyNew: true }])
    node.close()
  })

  test('[WL7] [WL5] so does each attempt without a welcome', async () => {
    const node = silentNode()
    const giveUp = new AbortController()
    const joining = start({ signal: giveUp.signal, transport: node.open, storage: null })
    await clock.advance(10_000)
    expect(node.sent).toEqual([{ type: 'leave', onlyNew: true }])
    giveUp.abort()
    await expect(joining).rejects.toBeDefined()
    node.close()
  })

  test('a connect that waits for another one to end can be aborted', async () => {
    const node = silentNode()
    const first = new AbortController()
    const aborted = start({ signal: first.signal, transport: node.open, storage: null })
    await clock.advance(5)
    first.abort()
    await expect(aborted).rejects.toBeDefined()
    const second = new AbortController()
    const waiting = start({ signal: second.signal, storage: null })
    await settled()
    second.abort(new Error('not that long'))
    await expect(waiting).rejects.toThrow('not that long')
    node.close()
  })
})
