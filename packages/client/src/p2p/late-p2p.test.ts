import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectOn } from '../connect.js'
import type { Peer } from '../peer.js'
import { PeerageError } from '../lib/error.js'
import { systemClock } from '../lib/clock.js'
import type { Modules } from '../platform/modules.js'
import { staticModules } from '../platform/static-modules.js'
import { failure, opened, received } from '../testing/controllers.js'
import { FakeTier } from '../testing/fake-tier.js'
import { platform } from '../testing/platform.js'
import type { P2P } from './controls.js'
import type { P2POptions } from './options.js'

let tier: FakeTier
let peers: Peer[]

beforeEach(() => {
  tier = new FakeTier(systemClock)
  peers = []
})

afterEach(async () => {
  await Promise.all(peers.map((peer) => peer.leave()))
})

/** Connects. No server answers at the address, because on one machine host candidates are enough. */
async function peer(
  name: string,
  p2p: P2POptions,
  modules: Partial<Modules> = {},
): Promise<{ peer: Peer; p2p: P2P }> {
  const made = await connectOn(platform, { ...staticModules, ...modules }, 'http://tier', {
    name,
    p2p,
    p2pServer: '127.0.0.1:9',
    transport: tier.open,
    storage: null,
  })
  peers.push(made)
  if (made.p2p === null) throw new Error('P2P is disabled')
  return { peer: made, p2p: made.p2p }
}

/** Counts how often the code was asked for. Each answer comes from `results`; without one, it never comes. */
function countedModules(...results: ('code' | Error)[]): { asked: number; p2p: Modules['p2p'] } {
  const counted = {
    asked: 0,
    p2p: async ({ signal }: Parameters<Modules['p2p']>[0]) => {
      const result = results[counted.asked++]
      if (result instanceof Error) throw result
      if (result === undefined)
        await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
      return staticModules.p2p({ clock: systemClock, signal })
    },
  }
  return counted
}

test('[PP46] connect does not load the code of P2P, and the first call of another peer does', async () => {
  const modules = countedModules('code')
  const { p2p: bob } = await peer('bob', { loadLater: true }, modules)
  const theirs = opened(bob)
  const { p2p: ann } = await peer('ann', {})
  expect([modules.asked, bob.channels, bob.busy('ann')]).toEqual([0, [], null])
  const calling = ann.connect('bob')
  const [channel, there] = await Promise.all([calling, theirs])
  const text = received(there)
  await channel.send('hello')
  expect(await text).toBe('hello')
  expect([modules.asked, bob.channel('ann')]).toEqual([1, there])
  await bob.load()
  expect(modules.asked).toBe(1)
})

test('[PP46] a call of this peer loads the code, and listeners of before hear of the channel', async () => {
  const modules = countedModules('code')
  await peer('bob', {})
  const { p2p: ann } = await peer('ann', { loadLater: true }, modules)
  const first = opened(ann)
  const channels = await Promise.all([ann.connect('bob'), ann.connect('bob')])
  expect(new Set([...channels, await first]).size).toBe(1)
  expect(modules.asked).toBe(1)
  expect(ann.p2pServer).toBe('127.0.0.1:9')
})

test('[PP46] if the code cannot be loaded, the call fails, and the next one tries again', async () => {
  const modules = countedModules(new PeerageError('not-loaded'), 'code')
  await peer('bob', {})
  const { p2p: ann } = await peer('ann', { loadLater: true }, modules)
  expect(await failure(ann.connect('bob'))).toMatchObject({ code: 'not-loaded' })
  expect((await ann.connect('bob')).peer).toBe('bob')
})

test('[PP46] a call that waits for the code ends when its signal aborts, or when the peer is closed', async () => {
  const modules = countedModules()
  const { peer: ann, p2p } = await peer('ann', { loadLater: true }, modules)
  const reason = new Error('not wanted any more')
  const aborting = new AbortController()
  const aborted = failure(p2p.connect('bob', { signal: aborting.signal }))
  const closed = failure(p2p.connect('bob'))
  aborting.abort(reason)
  expect(await aborted).toBe(reason)
  ann.close()
  expect(await closed).toMatchObject({ code: 'closed' })
  expect(await failure(p2p.load())).toMatchObject({ code: 'closed' })
  expect(modules.asked).toBe(1)
})

test('[PP46] wrong arguments are refused before the code is there', async () => {
  const { p2p } = await peer('ann', { loadLater: true }, countedModules())
  const wrong = (value: unknown): never => value as never
  expect(() => p2p.channel(wrong(1))).toThrow('peer')
  expect(() => p2p.on(wrong('opened'), () => {})).toThrow('opened')
  expect(() => (p2p.p2pServer = 'other:1')).toThrow('connect()')
})
