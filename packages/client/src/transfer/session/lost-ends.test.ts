import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeSource, FakeStore, someBytes } from '../../testing/fake-files.js'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { ShareHost, ShareSession } from '../sharing.js'
import type { FileState, TransferFile } from '../types.js'

// What each side reads of an end, also of one that came while the connection was lost.

/** More than a guest may be away before messages to it fail. */
const GONE_MS = 90_000

let world: FakeSharing
beforeEach(() => {
  world = new FakeSharing()
})
afterEach(async () => {
  await world.close()
  expect(world.errors).toEqual([])
})

const files = (session: ShareSession): TransferFile[] =>
  session.transfer.state.items.filter((item) => item.kind === 'file')
const states = (session: ShareSession): FileState[] => files(session).map(({ state }) => state)

async function open(): Promise<{ share: ShareHost; session: ShareSession; hosted: ShareSession }> {
  const [host, guest] = [await world.side('host'), await world.side('guest', { store: new FakeStore() })]
  const share = host.sharing.host()
  share.add([new FakeSource('a.txt', someBytes(100, 1))])
  const session = await guest.sharing.join(linkOf(share))
  await world.until(() => files(session).length === 1)
  const [hosted] = share.sessions
  if (hosted === undefined) throw new Error('the host has no session')
  return { share, session, hosted }
}

test('[FT63] a guest that was lost when the host stopped reads so as soon as it is back', async () => {
  const { share, session, hosted } = await open()
  hosted.transfer.sendText('are you there?')
  world.tier.cut('guest', 'drain', GONE_MS)
  await world.until(() => hosted.state.name === 'reconnecting', 2 * GONE_MS)
  share.stop()
  const stoppedAt = world.clock.now()
  await world.until(() => session.state.name === 'ended', GONE_MS)
  expect(world.clock.now() - stoppedAt).toBeLessThan(GONE_MS)
  const detail = 'the other side stopped sharing'
  expect(session.state).toEqual({ name: 'ended', why: 'stopped', detail })
  expect(states(session)).toEqual([{ name: 'ended', reason: 'stopped', detail: 'the share was stopped' }])
  const here = { why: 'stopped', detail: 'this side stopped sharing' }
  expect(hosted.state).toEqual({ name: 'ended', ...here })
})

test('[FT10] the files of a session that one side closes have the same words on both sides', async () => {
  const { session, hosted } = await open()
  hosted.close()
  await world.until(() => session.state.name === 'ended')
  const detail = 'the session was ended'
  expect(states(hosted)).toEqual([{ name: 'ended', reason: 'cancelled-here', detail }])
  expect(states(session)).toEqual([{ name: 'ended', reason: 'cancelled-there', detail }])
  expect(session.state).toMatchObject({ why: 'closed-there', detail: 'the other side ended the connection' })
})
