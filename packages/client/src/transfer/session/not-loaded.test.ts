import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { ShareSession } from '../sharing.js'

// A page whose node was replaced by one of another version: modules that were not loaded yet are missing.

const RELOAD = 'a part of the program could not be loaded; reload the page'
const modules = ['./sessions.js', '../keys/password.js', './code-guest.js', './host-code.js']

let world: FakeSharing
beforeEach(() => {
  world = new FakeSharing()
})
afterEach(async () => {
  for (const module of modules) vi.doUnmock(module)
  await world.close()
})

/** From now on, this module cannot be loaded. */
const lose = (module: string): unknown =>
  vi.doMock(module, () => {
    throw new Error(`${module} is missing`)
  })
const ended = (session: ShareSession): Promise<void> =>
  world.until(() => session.state.name === 'ended', 120_000)
const failed = { name: 'ended', why: 'failed', detail: RELOAD }
const missing = { name: 'PeerageError', code: 'not-loaded' }

test('[FT90] without what a session needs, one who opens a link is told to reload the page', async () => {
  const guest = await world.side('guest')
  lose('./sessions.js')
  const link = { name: 'host', fragment: '' }
  await expect(world.soon(guest.sharing.join(link))).rejects.toMatchObject(missing)
})

test('[FT90] without what a code needs, so is one who enters a code', async () => {
  const guest = await world.side('guest')
  lose('./code-guest.js')
  const session = await guest.sharing.joinCode('17-crane-otter-tulip')
  await ended(session)
  expect(session.state).toEqual(failed)
})

test('[FT90] without what a password needs, a guest is told to reload the page', async () => {
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const share = host.sharing.host({ password: 'sesame' })
  // The host has loaded what it needs of the password.
  await world.soon(new Promise<void>((resolve) => share.onChange(resolve)))
  lose('../keys/password.js')
  const session = await guest.sharing.join(linkOf(share), { password: 'sesame' })
  await ended(session)
  expect(session.state).toEqual(failed)
  expect(world.errors).toEqual([])
})

test('[FT90] a host without what a new guest needs says so, and its sessions go on', async () => {
  const [host, guest, late] = [await world.side('host'), await world.side('guest'), await world.side('late')]
  const share = host.sharing.host()
  const session = await guest.sharing.join(linkOf(share))
  await world.until(() => session.state.name === 'open')
  lose('../keys/password.js')
  lose('./host-code.js')
  share.setPassword('sesame')
  share.newCode()
  await world.until(() => share.code.name === 'failed' && world.errors.length > 0)
  expect(share.code).toEqual({ name: 'failed', detail: RELOAD })
  expect(world.errors[0]).toMatchObject(missing)
  vi.doUnmock('../keys/password.js')
  const refused = await late.sharing.join(linkOf(share), { password: 'sesame' })
  await ended(refused)
  session.transfer.sendText('hello')
  await world.until(() => share.sessions[0]?.transfer.state.items.length === 1)
  expect([session.state.name, share.sessions.length]).toEqual(['open', 1])
})
