import type { AdmittedSession } from '@peerage/core'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { expect, test, vi } from 'vitest'
import { appsOf } from '../testing/apps.js'
import { BanSweep } from './ban-sweep.js'

const api = { keys: ['a-key-of-24-characters-or-more'] }

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
    }) as unknown as AdmittedSession
  const sessions = new Map(['a', 'b'].map((name) => [name, session(name)]))
  sessions.set('c', session('c', 'other'))
  const sweep = new BanSweep({
    node: {
      sessions: { allAdmitted: () => sessions.values(), get: (id: string) => sessions.get(id) },
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

test('a peer without a name is compared by its identity and its token, and disconnected as any other', async () => {
  const { clock, check, end, sweep, sessions } = sweepTest()
  sessions.clear()
  const anonymous = {
    state: 'anonymous',
    app: 'default',
    connection: { id: 'd', isOpen: true },
    holder: { identity: 'user-17', tokenId: 'd' },
  } as unknown as AdmittedSession
  sessions.set('d', anonymous)
  check.mockResolvedValue({ ok: false, code: 'bad-token', detail: '' })
  sweep.begin()
  await clock.advance(1_000)
  await settled()
  expect(check.mock.calls).toEqual([['default', { identity: 'user-17', tokenId: 'd' }]])
  expect(end).toHaveBeenCalledWith(anonymous, expect.objectContaining({ code: 4504 }))
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
