import { connect } from '@peerage/client'
import { defaultTimes, memoryCluster, systemClock } from '@peerage/core'
import type { OnlineSession } from '@peerage/core'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { pino } from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { configSchema } from '../config/schema.js'
import { PeerageServer } from '../server.js'
import { appsOf } from '../testing/apps.js'
import { appOf } from '../testing/peerjs-fixture.js'
import { BanSweep } from './ban-sweep.js'
import { encodeBan } from './revocations.js'

const app = appOf('default')
const api = { keys: ['a-key-of-24-characters-or-more'] }

test('[API30] a ban that a node could not hear, because it had lost the store, ends the connection when it is back', async () => {
  const cluster = memoryCluster({ clock: systemClock, times: defaultTimes })
  const backend = cluster.backend()
  const config = configSchema.parse({ port: 0, page: false, api, p2p: { useAsP2PServer: false } })
  const server = new PeerageServer({ config, log: pino({ level: 'silent' }), backend })
  onTestFinished(() => server.stop())
  const { url } = await server.listen()
  await server.ready()
  const of = { storage: null, p2p: false, leaveOnExit: false, onRetry: () => {} } as const
  const [eve, bob] = await Promise.all(['eve', 'bob'].map((name) => connect(url, { ...of, name })))
  if (eve === undefined || bob === undefined) throw new Error('no peers')
  onTestFinished(() => bob.close())
  const closed = new Promise((resolve) =>
    eve.on('state', (state) => state.state === 'closed' && resolve(state)),
  )
  const text = encodeBan({ until: Date.now() + 60_000 })
  await backend.records.put(app, 'bans', 'n:eve', text, 60_000, 10)
  // No node was told. This is what a node is told after a lost connection to the store.
  cluster.setDown(true)
  cluster.setDown(false)
  expect(await closed).toMatchObject({ reason: 'disconnected' })
  expect(bob.state.state).toBe('online')
})

function sweepTest() {
  const clock = new FakeClock()
  const check = vi.fn(() =>
    Promise.resolve<{ ok: true } | { ok: false; code: 'bad-token' | 'access-unavailable'; detail: string }>({
      ok: true,
    }),
  )
  const end = vi.fn()
  const session = (name: string, of = 'default') =>
    ({
      state: 'online',
      peer: `${of}/${name}`,
      connection: { id: name, isOpen: true },
      holder: { tokenId: name },
    }) as unknown as OnlineSession
  const sessions = new Map(['a', 'b'].map((name) => [name, session(name)]))
  sessions.set('c', session('c', 'other'))
  const sweep = new BanSweep({
    node: {
      sessions: { allOnline: () => sessions.values(), get: (id: string) => sessions.get(id) },
      disconnects: { end },
    } as never,
    apps: appsOf({ apps: { default: { api }, other: {} } }),
    revocations: { check },
    clock,
    onError: () => {},
  })
  return { clock, check, end, sweep, sessions }
}

test('a sweep that cannot read the bans comes again, and asks only for apps with the API', async () => {
  const { clock, check, end, sweep } = sweepTest()
  check.mockResolvedValue({ ok: false, code: 'access-unavailable', detail: '' })
  sweep.begin()
  await clock.advance(1_000)
  expect(check.mock.calls.map(([, holder]: unknown[]) => holder)).toEqual([
    { name: 'a', tokenId: 'a' },
    { name: 'b', tokenId: 'b' },
  ])
  check.mockResolvedValueOnce({ ok: false, code: 'bad-token', detail: '' }).mockResolvedValue({ ok: true })
  await clock.advance(5_000)
  await settled()
  expect(end).toHaveBeenCalledOnce()
  expect(end).toHaveBeenCalledWith(expect.objectContaining({ peer: 'default/a' }), {
    code: 4504,
    text: 'the access token is no longer valid',
  })
  expect(clock.pending).toBe(0)
})

test('a peer that renews its token meanwhile stays, and a stopped sweep leaves no timer', async () => {
  const { clock, check, end, sweep, sessions } = sweepTest()
  check.mockImplementation(() => {
    const [a] = sessions.values()
    if (a !== undefined) sessions.set('a', { ...a, holder: { tokenId: 'new' } })
    return Promise.resolve({ ok: false, code: 'bad-token', detail: '' })
  })
  sweep.begin()
  await clock.advance(1_000)
  await settled()
  expect(end.mock.calls.map(([{ peer }]) => peer)).toEqual(['default/b'])
  sweep.begin()
  sweep.stop()
  expect(clock.pending).toBe(0)
})
