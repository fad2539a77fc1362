import { beforeEach, expect, test } from 'vitest'
import { connect } from './entries/node.js'
import type { Peer } from './peer.js'
import { createHooks } from './react.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeTier } from './testing/fake-tier.js'

let clock: FakeClock
let tier: FakeTier

beforeEach(() => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
})

async function join(name: string): Promise<Peer> {
  const joining = connect('http://tier', { name, clock, transport: tier.open, p2p: false })
  await clock.advance(5)
  return joining
}

/** One mounted component. Like React, it subscribes again only when `subscribe` is another function. */
function mount<T>(component: (react: Parameters<typeof createHooks>[0]) => () => T): {
  shown: T[]
  subscriptions: number
  unmount(): void
} {
  const shown: T[] = []
  let subscribed: unknown
  let unsubscribe = (): void => {}
  const mounted = { shown, subscriptions: 0, unmount: () => unsubscribe() }
  const hook = component({
    useSyncExternalStore(subscribe, snapshot) {
      if (subscribed !== subscribe) {
        subscribed = subscribe
        mounted.subscriptions++
        unsubscribe()
        unsubscribe = subscribe(() => render())
      }
      return snapshot()
    },
  })
  const render = (): void => void shown.push(hook())
  render()
  return mounted
}

test('usePeerState renders each state, and subscribes once', async () => {
  const ann = await join('ann')
  const page = mount((react) => {
    const { usePeerState } = createHooks(react)
    return () => usePeerState(ann).state
  })
  tier.cut('ann')
  await clock.advance(1_100)
  expect(page.shown).toEqual(['online', 'reconnecting', 'online'])
  expect(page.subscriptions).toBe(1)
  page.unmount()
  tier.cut('ann')
  expect(page.shown).toHaveLength(3)
})

test('usePresence watches the name while its component is mounted, and not after', async () => {
  const ann = await join('ann')
  await join('bob')
  const page = mount((react) => {
    const { usePresence } = createHooks(react)
    return () => usePresence(ann, 'bob')?.state
  })
  await clock.advance(10)
  tier.cut('bob')
  await clock.advance(1_100)
  expect(page.shown).toEqual([undefined, 'online', 'away', 'online'])
  expect(page.subscriptions).toBe(1)
  page.unmount()
  expect(tier.sent.at(-1)).toEqual({ type: 'unwatch', names: ['bob'] })
  tier.cut('bob')
  await clock.advance(1_100)
  expect(page.shown).toHaveLength(4)
})

test('usePresence asks again on the next connection if it got no answer', async () => {
  const ann = await join('ann')
  await join('bob')
  tier.faults.loss = 1
  const page = mount((react) => {
    const { usePresence } = createHooks(react)
    return () => usePresence(ann, 'bob')?.state
  })
  await clock.advance(6_000)
  expect(page.shown).toEqual([undefined])
  tier.faults.loss = 0
  tier.cut('ann')
  await clock.advance(1_100)
  expect(page.shown).toEqual([undefined, 'online'])
  page.unmount()
  expect(tier.sent.at(-1)).toEqual({ type: 'unwatch', names: ['bob'] })
})

test('usePresence watches nothing if its component unmounts before the answer', async () => {
  const ann = await join('ann')
  const page = mount((react) => {
    const { usePresence } = createHooks(react)
    return () => usePresence(ann, 'bob')
  })
  page.unmount()
  await clock.advance(10)
  expect(page.shown).toEqual([undefined])
  expect(tier.sent.filter(({ type }) => type === 'unwatch')).toHaveLength(1)
  expect(clock.pending).toBe(0)
})

test('usePresence watches nobody for null, and throws bad-name for a name that no peer can have', async () => {
  const ann = await join('ann')
  const { usePresence } = createHooks({
    useSyncExternalStore: (subscribe, snapshot) => (subscribe(() => {}), snapshot()),
  })
  const sent = tier.sent.length
  expect(usePresence(ann, null)).toBeUndefined()
  for (const name of ['', '\n', 'x'.repeat(200)])
    expect(() => usePresence(ann, name)).toThrow(expect.objectContaining({ code: 'bad-name' }))
  expect(tier.sent).toHaveLength(sent)
})
