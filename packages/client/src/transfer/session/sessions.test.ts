import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeSource, FakeStore, someBytes } from '../../testing/fake-files.js'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { FakeSide } from '../../testing/fake-sharing.js'
import type { ShareHost, ShareSession } from '../sharing.js'
import type { SessionEnd, Source, TransferFile } from '../types.js'
import { AWAY_MS } from './away-timer.js'
import { endTexts } from './texts.js'

// Sessions through the server, in time that the test moves.

let world: FakeSharing

beforeEach(() => {
  world = new FakeSharing()
})

afterEach(async () => {
  await world.close()
  expect(world.errors).toEqual([])
})

/** A file that nobody reads. */
const largeFile = (size: number): Source => ({
  info: { path: 'large.bin', size, type: '' },
  readBlock: () => new Promise(() => undefined),
})

async function open(): Promise<{
  host: FakeSide
  guest: FakeSide
  share: ShareHost
  session: ShareSession
  hosted: ShareSession
}> {
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const share = host.sharing.host()
  const session = await guest.sharing.join(linkOf(share))
  await world.until(() => session.state.name === 'open')
  const [hosted] = share.sessions
  if (hosted === undefined) throw new Error('the host has no session')
  return { host, guest, share, session, hosted }
}

const ended = (session: ShareSession, why: SessionEnd): Promise<void> =>
  world.until(() => {
    const { state } = session
    if (state.name === 'ended' && state.why !== why)
      throw new Error(`it ended as ${state.why}: ${state.detail}`)
    return state.name === 'ended'
  }, 2 * AWAY_MS)

test('[FT52] host and guest learn the device of the other, and texts go both ways', async () => {
  const { session, hosted } = await open()
  expect(session.peer).toEqual({ name: 'host', device: 'device of host' })
  expect(hosted.peer).toEqual({ name: 'guest', device: 'device of guest' })
  expect([session.role, hosted.role]).toEqual(['guest', 'host'])
  session.transfer.sendText('hello')
  hosted.transfer.sendText('hi')
  const texts = (one: ShareSession): unknown =>
    one.transfer.state.items
      .map((item) => item.kind === 'text' && `${item.direction} ${item.text}`)
      .toSorted((a, b) => String(a).localeCompare(String(b)))
  await world.until(
    () => session.transfer.state.items.length === 2 && hosted.transfer.state.items.length === 2,
  )
  expect(texts(session)).toEqual(['in hi', 'out hello'])
  expect(texts(hosted)).toEqual(['in hello', 'out hi'])
})

test('[FT52] a guest knows by the welcome whether the share is for one receiver and when it ends, and hears of changes', async () => {
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const expiresAt = world.clock.now() + 3_600_000
  const share = host.sharing.host({ isOneTime: true, expiresAt })
  const session = await guest.sharing.join(linkOf(share))
  expect([session.isOneTime, session.expiresAt, session.link]).toEqual([false, undefined, linkOf(share)])
  await world.until(() => session.state.name === 'open')
  expect([session.isOneTime, session.expiresAt]).toEqual([true, expiresAt])
  const [hosted] = share.sessions
  expect([hosted?.isOneTime, hosted?.expiresAt, hosted?.link]).toEqual([true, expiresAt, undefined])
  share.setOneTime(false)
  share.setExpiry(undefined)
  await world.until(() => !session.isOneTime && session.expiresAt === undefined)
})

test('[FT52] a side that closes its session tells the other', async () => {
  const { session, hosted, share } = await open()
  session.close()
  expect(session.state).toMatchObject({ name: 'ended', why: 'closed-here' })
  await ended(hosted, 'closed-there')
  // What has ended is shown until the application closes it.
  expect(share.sessions).toEqual([hosted])
  hosted.close()
  expect(share.sessions).toEqual([])
})

test('[FT53] a guest that begins anew replaces its session, and another name does not', async () => {
  const { guest, share, hosted } = await open()
  const other = await world.side('other')
  const third = await other.sharing.join(linkOf(share))
  await world.until(() => third.state.name === 'open')
  expect(hosted.state.name).toBe('open')
  const again = await guest.sharing.join(linkOf(share))
  await world.until(() => again.state.name === 'open')
  await ended(hosted, 'closed-there')
  expect(share.sessions.map(({ state }) => state.name)).toEqual(['open', 'open'])
})

test('[FT53] a session that was replaced is still listed if the guest sent something in it', async () => {
  const { guest, share, session, hosted } = await open()
  session.transfer.sendText('hello')
  await world.until(() => hosted.transfer.state.items.length === 1)
  const again = await guest.sharing.join(linkOf(share))
  await world.until(() => again.state.name === 'open')
  await ended(hosted, 'closed-there')
  expect(share.sessions.map(({ state }) => state.name)).toEqual(['ended', 'open'])
})

test('[FT54] after the host has lost its sessions, the guest proves the link again, and its texts arrive', async () => {
  const { session, share } = await open()
  const saved = share.save()
  // The page of the host is loaded anew, and says nothing before.
  world.tier.cut('host', 'superseded')
  await world.until(() => session.state.name === 'reconnecting', 200_000)
  session.transfer.sendText('are you back?')
  world.tier.release('host')
  const again = (await world.side('host')).sharing.host({ saved })
  await world.until(() => session.state.name === 'open', 200_000)
  const texts = (one: ShareSession | undefined): unknown =>
    one?.transfer.state.items.map((item) => item.kind === 'text' && item.text)
  await world.until(() => again.sessions[0]?.transfer.state.items.length === 1)
  expect(texts(again.sessions[0])).toEqual(['are you back?'])
})

test('[FT59] a session waits ten minutes for the other peer, and says that it is away', async () => {
  const { guest, session, hosted } = await open()
  await world.soon(guest.peer.leave())
  expect(session.state).toMatchObject({ name: 'ended', why: 'self-closed' })
  hosted.transfer.sendText('are you there?')
  await world.until(() => hosted.state.name === 'reconnecting', 200_000)
  expect(hosted.state).toEqual({ name: 'reconnecting', isPeerAway: true })
  await world.clock.advance(AWAY_MS - 60_000)
  expect(hosted.state.name).toBe('reconnecting')
  await ended(hosted, 'peer-left')
})

test('[FT59] the time in which the machine sleeps does not count', async () => {
  const { guest, hosted } = await open()
  await world.soon(guest.peer.leave())
  hosted.transfer.sendText('are you there?')
  await world.until(() => hosted.state.name === 'reconnecting', 200_000)
  // The clock goes on while no timer runs.
  world.clock.jump(24 * 60 * 60_000)
  await world.clock.advance(AWAY_MS / 2)
  expect(hosted.state.name).toBe('reconnecting')
})

test('[FT58] more than 100 MB through the server needs consent', async () => {
  const { share, session } = await open()
  share.add([largeFile(60_000_000), largeFile(60_000_001)])
  await world.until(() => session.transfer.state.items.length === 2)
  const [first, second] = session.transfer.state.items.map(({ key }) => key)
  if (first === undefined || second === undefined) throw new Error('two files were offered')
  session.transfer.accept([first])
  await world.clock.advance(1_000)
  expect(session.consent).toBe('not-needed')
  session.transfer.accept([second])
  await world.until(() => session.consent === 'asked')
  session.answerConsent(false)
  expect(session.consent).toBe('refused')
  session.answerConsent(true)
  expect(session.consent).toBe('given')
})

test('[FT65] a name that nobody holds is told at once', async () => {
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const link = linkOf(host.sharing.host())
  await world.soon(host.peer.leave())
  await ended(await guest.sharing.join(link), 'not-found')
})

test('[FT65] a host that is online and cannot be reached: the session fails', async () => {
  world.tier.relay = null
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const session = await guest.sharing.join(linkOf(host.sharing.host()))
  await ended(session, 'failed')
  expect(session.serverBytesPerSecond).toBeUndefined()
})

test('[FT65] while the host is away, the guest waits', async () => {
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const share = host.sharing.host()
  world.tier.cut('host')
  const session = await guest.sharing.join(linkOf(share))
  await world.until(() => session.state.name === 'open')
})

test('[FT63] a share that expires ends its sessions, and takes nobody new', async () => {
  const { share, session, guest } = await open()
  share.setExpiry(world.clock.now() + 5_000)
  expect(share.state).toEqual({ name: 'open' })
  await ended(session, 'expired')
  expect(share.state).toEqual({ name: 'stopped', why: 'expired' })
  await ended(await guest.sharing.join(linkOf(share)), 'expired')
})

test('[FT63] files that are added later reach all guests, and files that are removed end as stopped', async () => {
  const [host, one, other] = [
    await world.side('host'),
    await world.side('one', { store: new FakeStore() }),
    await world.side('other', { store: new FakeStore() }),
  ]
  const share = host.sharing.host()
  const sessions = await Promise.all([one, other].map(({ sharing }) => sharing.join(linkOf(share))))
  await world.until(() => sessions.every(({ state }) => state.name === 'open'))
  share.add([new FakeSource('a.txt', someBytes(100_000, 1)), largeFile(5_000_000)])
  const files = (session: ShareSession): TransferFile[] =>
    session.transfer.state.items.filter((item) => item.kind === 'file')
  await world.until(() => sessions.every((session) => files(session).length === 2))
  for (const session of sessions) session.transfer.accept(files(session).map(({ key }) => key))
  await world.until(() => sessions.every((session) => files(session)[0]?.state.name === 'complete'))
  share.removeFiles(share.files.slice(1).map(({ id }) => id))
  await world.until(() => sessions.every((session) => files(session)[1]?.state.name === 'ended'))
  expect(sessions.map((session) => files(session)[1]?.state)).toMatchObject([
    { reason: 'stopped' },
    { reason: 'stopped' },
  ])
  expect(share.files.map(({ path }) => path)).toEqual(['a.txt'])
})

test('[FT68] a peer that is closed ends its sessions, and close leaves no timer', async () => {
  const { guest, session, share } = await open()
  guest.peer.close()
  expect(session.state).toMatchObject({ name: 'ended', why: 'self-closed', detail: endTexts['self-closed'] })
  share.setExpiry(world.clock.now() + 1_000_000_000)
  share.newCode()
  await world.until(() => share.code.name === 'ready')
  await world.close()
  await world.clock.advance(120_000)
  expect(world.clock.pending).toBe(0)
})

test('[FT69] a link or a code that cannot be read ends the session, with words for people', async () => {
  const [host, guest] = [await world.side('host'), await world.side('guest')]
  const { name, fragment } = linkOf(host.sharing.host())
  const { sharing } = guest
  const wrong: [ShareSession, SessionEnd, RegExp][] = [
    [await sharing.join({ name: '', fragment }), 'wrong-link', /name/],
    [await sharing.join({ name, fragment: '' }), 'wrong-link', /after #/],
    [await sharing.join({ name, fragment: fragment.slice(0, 40) }), 'wrong-link', /end of the link/],
    [await sharing.join({ name, fragment: `${fragment}x` }), 'wrong-link', /follows/],
    [await sharing.join({ name, fragment: fragment.replace(/./, '!') }), 'wrong-link', /characters/],
    [await sharing.join({ name: 'guest', fragment }), 'failed', /this side itself/],
    [await sharing.joinCode(''), 'wrong-code', /no code/],
    [await sharing.joinCode('17-acid-acid'), 'wrong-code', /three words/],
    [await sharing.joinCode('17-acid-acid-xylophones'), 'wrong-code', /xylophones/],
  ]
  for (const [session, why, detail] of wrong) {
    await ended(session, why)
    expect(session.state.name === 'ended' && session.state.detail).toMatch(detail)
  }
  // A link with another secret is readable.
  const other = await world.side('other')
  const { fragment: otherFragment } = linkOf(other.sharing.host())
  await ended(await sharing.join({ name, fragment: otherFragment }), 'wrong-link')
})

test('[FT64] what is saved for another name, or is unreadable, is ignored', async () => {
  const [host, other] = [await world.side('host'), await world.side('other')]
  const share = host.sharing.host({ isOneTime: true })
  share.add([new FakeSource('a.txt', someBytes(10, 1))])
  const saved = share.save()
  for (const wrong of [saved, '', '{}', saved.slice(0, -1), saved.replace('"version":1', '"version":2')]) {
    const fresh = other.sharing.host({ saved: wrong })
    expect([fresh.files, fresh.isOneTime]).toEqual([[], false])
    fresh.stop()
  }
})
