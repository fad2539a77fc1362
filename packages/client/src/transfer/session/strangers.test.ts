import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeSharing, linkOf } from '../../testing/fake-sharing.js'
import type { FakeSide } from '../../testing/fake-sharing.js'
import { nameFrom } from '../../testing/fake-page.js'
import type { Peer } from '../../peer.js'
import type { VerifyLine } from '../../p2p/options.js'
import type { CodeState, ShareHost, ShareSession } from '../sharing.js'
import { decodeServerFrame, encodeServerFrame, newLinkId } from './server-frames.js'

// What peers can do to a host that have not proven anything.

let world: FakeSharing

beforeEach(() => {
  world = new FakeSharing()
})

afterEach(async () => {
  await world.close()
  expect(world.errors).toEqual([])
})

async function hosting(options: Parameters<FakeSide['sharing']['host']>[0] = {}): Promise<ShareHost> {
  const { sharing } = await world.side('host')
  return sharing.host(options)
}

/** A peer that sends what it likes. `heard`: the kinds of the frames that it got. */
async function stranger(): Promise<{ peer: Peer; heard: string[] }> {
  const peer = await world.peer('stranger')
  const heard: string[] = []
  peer.on('message', (_from, data) => heard.push(decodeServerFrame(data)?.kind ?? 'other'))
  return { peer, heard }
}

/** Begins a handshake through the server, and never goes on with it. */
async function knock(peer: Peer, to: string, bytes = 5): Promise<void> {
  const opening = encodeServerFrame(newLinkId(), 'proof', new Uint8Array(bytes))
  await world.soon(peer.send(to, opening, { via: 'server' }))
}

async function join(share: ShareHost, name: string, password?: string): Promise<ShareSession> {
  const { sharing } = await world.side(name)
  return sharing.join(linkOf(share), { password })
}

const whyOf = ({ state }: ShareSession): string => (state.name === 'ended' ? state.why : state.name)

test('[FT55] a stranger that begins handshakes without end costs little, and keeps no guest out', async () => {
  const share = await hosting()
  const { peer, heard } = await stranger()
  for (let i = 0; i < 100; i++) await knock(peer, 'host')
  // Its rates are 12 handshakes at once and one each 2 s, and 4 words that there is no such connection, and one a second.
  expect(heard.length).toBeLessThan(30)
  const session = await join(share, 'guest')
  await world.until(() => session.state.name === 'open')
  expect(share.sessions).toHaveLength(1)
})

test('[FT55] handshakes that nobody finishes end, so that the same peer gets in later', async () => {
  const share = await hosting()
  const { sharing, peer } = await world.side('guest')
  const { fragment } = linkOf(share)
  // An opening of the kind `code` is well-formed, but for its point.
  for (let i = 0; i < 4; i++) await knock(peer, 'host', 0)
  await world.clock.advance(60_000)
  const session = await sharing.join({ name: 'host', fragment })
  await world.until(() => session.state.name === 'open')
})

test('[FT55] frames of an unknown connection, and messages that are none, do no harm', async () => {
  const share = await hosting()
  const { peer, heard } = await stranger()
  const frames = [
    encodeServerFrame(newLinkId(), 'data', new Uint8Array(100)),
    encodeServerFrame(newLinkId(), 'gone', new Uint8Array(0)),
    encodeServerFrame(newLinkId(), 'data', new Uint8Array(0)).fill(9, 20),
    new Uint8Array([0x50, 0x53, 0x48, 0x31]),
    'text',
    { type: 'offer' },
  ]
  for (const frame of frames) await world.soon(peer.send('host', frame, { via: 'server' }))
  await world.clock.advance(1_000)
  expect(heard).toEqual(['gone'])
  expect(share.sessions).toEqual([])
})

test('[FT61] guesses that are under way at the same time get no more tries', async () => {
  const share = await hosting({ password: 'right' })
  const guesses: ShareSession[] = []
  for (let i = 0; i < 14; i++) guesses.push(await join(share, `guesser-${i}`, `wrong ${i}`))
  await world.until(() => guesses.every(({ state }) => state.name === 'ended'), 300_000)
  expect(guesses.filter((one) => whyOf(one) === 'wrong-password')).toHaveLength(10)
  expect(share.state).toEqual({ name: 'locked' })
  // The count survives a reload.
  const saved = share.save()
  expect(saved).toContain('"wrongPasswords":10')
  share.setPassword('another')
  const friend = await join(share, 'friend', 'another')
  await world.until(() => friend.state.name === 'open')
}, 60_000)

test('[FT61] a guest hears how many tries of the password are left', async () => {
  const share = await hosting({ password: 'right' })
  for (const left of [9, 8]) {
    const session = await join(share, `guesser-${left}`, 'wrong')
    await world.until(() => session.state.name === 'ended')
    expect([whyOf(session), session.passwordTriesLeft]).toEqual(['wrong-password', left])
  }
  // Without a password, nothing was tried.
  const session = await join(share, 'guest')
  await world.until(() => session.state.name === 'ended')
  expect([whyOf(session), session.passwordTriesLeft]).toEqual(['wrong-password', undefined])
})

test('[FT61] one who tries passwords quickly hears each time that it is wrong, and at last that the share is locked', async () => {
  const share = await hosting({ password: 'right' })
  const { sharing } = await world.side('guesser')
  const link = linkOf(share)
  const heard: (string | undefined)[] = []
  for (let i = 0; i < 11; i++) {
    const session = await sharing.join(link, { password: `wrong ${i}` })
    await world.until(() => session.state.name === 'ended', 120_000)
    heard.push(whyOf(session))
    session.close()
  }
  expect(heard).toEqual([...Array.from({ length: 10 }, () => 'wrong-password'), 'locked'])
}, 60_000)

test('[FT61] a guest without the password is told that there is one', async () => {
  const share = await hosting({ password: 'right' })
  const session = await join(share, 'guest')
  await world.until(() => session.state.name === 'ended')
  expect(session.state).toMatchObject({
    why: 'wrong-password',
    detail: expect.stringContaining('has a password'),
  })
  share.setPassword(undefined)
  const open = await join(share, 'guest-2', 'not needed')
  await world.until(() => open.state.name === 'open')
})

async function code(share: ShareHost): Promise<string> {
  share.newCode()
  await world.until(() => share.code.name === 'ready')
  return share.code.name === 'ready' ? share.code.code : ''
}

test('[FT60] the guest of a code needs no password after a reload of the host, and none after its own', async () => {
  const share = await hosting({ password: 'right' })
  const { sharing } = await world.side('guest')
  const session = await sharing.joinCode(await code(share))
  await world.until(() => session.state.name === 'open')
  const { link } = session
  if (link === undefined) throw new Error('the guest has no link')
  expect(link.fragment).not.toBe(linkOf(share).fragment)
  const saved = share.save()
  // The page of the host is loaded anew, and says nothing before.
  world.tier.cut('host', 'superseded')
  await world.until(() => session.state.name === 'reconnecting', 200_000)
  world.tier.release('host')
  const again = (await world.side('host')).sharing.host({ saved })
  expect(again.hasPassword).toBe(true)
  await world.until(() => session.state.name === 'open', 200_000)
  const reloaded = await (await world.side('guest-2')).sharing.join(link)
  await world.until(() => reloaded.state.name === 'open')
  // Others still need the password.
  const other = await join(again, 'other', 'wrong')
  await world.until(() => other.state.name === 'ended')
  expect(whyOf(other)).toBe('wrong-password')
}, 60_000)

test('[FT60] five handshakes that break off void a code', async () => {
  const share = await hosting()
  const number = (await code(share)).split('-')[0] ?? ''
  const { peer } = await stranger()
  const states: CodeState['name'][] = []
  for (let i = 0; i < 5; i++) {
    states.push(share.code.name)
    await knock(peer, `share-${number}`)
    await world.clock.advance(3_000)
  }
  expect(states).toEqual(Array(5).fill('ready'))
  await world.until(() => share.code.name === 'burnt')
})

test('[FT60] a code whose number is taken gets another one, and a host without second names has no codes', async () => {
  const { sharing } = await world.side('host', {
    connectAs: async (name) => {
      asked.push(name)
      return world.peer(asked.length < 3 ? 'stranger' : name)
    },
  })
  const asked: string[] = []
  await stranger()
  const share = sharing.host()
  await code(share)
  expect(asked).toHaveLength(3)
  share.dropCode()
  expect(share.code).toEqual({ name: 'none' })
  const other = (await world.side('other', { connectAs: undefined })).sharing.host()
  other.newCode()
  expect(other.code.name).toBe('failed')
})

test('[FT51] sharing hands out no channel of another label, or to a peer that nobody called', async () => {
  const { sharing } = await world.side('guest')
  const sent: number[] = []
  const line = (label: string, isCaller: boolean): VerifyLine => ({
    handshake: 'h',
    label,
    isCaller,
    signal: new AbortController().signal,
    send: (message) => void sent.push(message.length),
    receive: () => Promise.reject(new Error('nobody says anything')),
  })
  const end = (name: string) => ({ name: nameFrom(name), fingerprint: 'a'.repeat(64) })
  const verify = (label: string, isCaller: boolean): Promise<boolean> =>
    world.soon(sharing.verify(end('guest'), end('other'), line(label, isCaller)))
  expect(await verify('chat', true)).toBe(false)
  expect(await verify('share-5', false)).toBe(false)
  expect(await verify('share', true)).toBe(false)
  expect(sent).toEqual([])
  // Nothing is shared here, so the caller is told to come later.
  // The name of the other peer comes after this one, so its labels as a guest are these.
  expect(await verify('share-back', false)).toBe(false)
  expect(sent).toHaveLength(1)
  sharing.host()
  expect(await verify('share-back-2', false)).toBe(false)
})
