import { randomBytes } from 'node:crypto'
import { connect, ConnectError, type Peer } from '@peerage/client'
import type { VerifyLine } from '@peerage/client'
import type { ShareSession } from '@peerage/client/transfer'
import { startNode, type Node } from '@peerage/test-support/node.js'
import {
  acceptAll,
  fileOf,
  filesOf,
  join,
  linkOf,
  nameOf,
  received,
  sha256,
  startSide,
  untilState,
  WAIT,
  type Side,
  type SideOptions,
} from '@peerage/test-support/share.js'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

// Whom a host lets in, and whom a guest believes, with real nodes and channels. The second node is another tier, so it can
// give the names of the first one to other peers, as a dishonest node would.

let honest: Node
let dishonest: Node

beforeAll(async () => {
  ;[honest, dishonest] = await Promise.all([startNode(), startNode()])
})

afterAll(async () => {
  await Promise.all([honest, dishonest].map((node) => node?.stop()))
})

const sideOf = (what: string, options?: SideOptions): Promise<Side> => startSide(honest.url, what, options)

/** Resolves when the session has ended for this reason. */
const untilEnd = (session: ShareSession, why: string): Promise<void> =>
  untilState(session, { name: 'ended', why })

test('[FT67] a node in the middle of both connections: neither side believes it', async () => {
  // The guest cannot go through this node, so it soon calls again if a connection of Mallory fails by itself.
  const node = await startNode({ args: ['--relay-enabled', 'false'] })
  onTestFinished(() => node.stop())
  const host = await sideOf('host')
  const guest = await startSide(node.url, 'guest')
  const share = host.sharing.host()
  share.add([fileOf('file.bin', randomBytes(1000))])
  // Mallory has the host's name at the guest's node, and the guest's name at the host's node. It passes everything on.
  const middle = new Middle()
  const asHost = await mallory(node, host.peer.name, (line) => middle.pass('guest', line))
  const asGuest = await mallory(honest, guest.peer.name, (line) => middle.pass('host', line))
  const session = await join(guest, share)
  const stages: unknown[] = []
  const over = new AbortController()
  // The call under way ends by itself, unless it came too late for the guest.
  session.onChange(() => session.state.name === 'ended' && stages.length > 0 && over.abort())
  while (session.state.name !== 'ended')
    await asGuest.p2p
      ?.connect(host.peer.name, { label: 'share', signal: over.signal })
      .catch((error: unknown) => {
        stages.push(error instanceof ConnectError ? error.stage : error)
      })
  expect(session.state).toMatchObject({ name: 'ended', why: 'not-verified' })
  expect(stages).toContain('not-verified')
  expect([asHost.p2p?.channels, asGuest.p2p?.channels]).toEqual([[], []])
  expect(share.sessions).toEqual([])
  expect(filesOf(session)).toEqual([])
})

/** Passes the messages of two verifications on to each other. */
class Middle {
  readonly #lines = new Map<'guest' | 'host', VerifyLine>()
  #wake: (() => void)[] = []

  /** `to`: who is at the other end of this line. */
  async pass(to: 'guest' | 'host', line: VerifyLine): Promise<boolean> {
    this.#lines.set(to, line)
    for (const resolve of this.#wake.splice(0)) resolve()
    for (;;) {
      const message = await line.receive()
      const other = await this.#line(to === 'guest' ? 'host' : 'guest', line.signal)
      other.send(message)
    }
  }

  async #line(to: 'guest' | 'host', signal: AbortSignal): Promise<VerifyLine> {
    for (;;) {
      const line = this.#lines.get(to)
      if (line !== undefined && !line.signal.aborted) return line
      await new Promise<void>((resolve, reject) => {
        this.#wake.push(resolve)
        signal.addEventListener('abort', () => reject(new Error('the line is closed')))
      })
    }
  }
}

/** A peer of the dishonest node under the name of another one. */
async function mallory(
  node: Node,
  name: string,
  pass: (line: VerifyLine) => Promise<boolean>,
): Promise<Peer> {
  const peer = await connect(node.url, {
    name,
    storage: null,
    p2p: { verify: (_local, _remote, line) => pass(line) },
  })
  peer.on('error', () => undefined)
  onTestFinished(() => peer.leave())
  return peer
}

test('[FT67] a guest that plays the host to another guest is not believed', async () => {
  const [host, eve] = [await sideOf('host'), await sideOf('eve')]
  const share = host.sharing.host()
  // Eve has the link. At the dishonest node it has the name of the host, too, and its own key.
  const asHost = await startSide(dishonest.url, 'eve', { name: host.peer.name })
  const own = JSON.parse(asHost.sharing.host().save())
  await asHost.sharing.close()
  const saved = JSON.stringify({ ...JSON.parse(share.save()), key: own.key })
  await asHost.peer.leave()
  const fake = await startSide(dishonest.url, 'eve', { name: host.peer.name })
  fake.sharing.host({ saved }).add([fileOf('trap.bin', randomBytes(10))])
  for (const p2p of [{}, false] as const) {
    const guest = await startSide(dishonest.url, 'guest', { p2p })
    const session = await guest.sharing.join(linkOf(share))
    await untilEnd(session, 'not-verified')
    expect(filesOf(session)).toEqual([])
  }
  // The link works for Eve itself, at the real host.
  await untilState(await join(eve, share), { name: 'open' })
})

test('[FT61] ten wrong passwords lock the share, and sessions go on', async () => {
  const host = await sideOf('host')
  const share = host.sharing.host({ password: 'hunter2' })
  const file = randomBytes(3_000_000)
  share.add([fileOf('file.bin', file)])
  const friend = await sideOf('friend')
  const open = await join(friend, share, { password: 'hunter2' })
  await untilState(open, { name: 'open' })
  for (let i = 0; i < 10; i++) {
    expect(share.state).toEqual({ name: 'open' })
    // Over channels and through the server alike.
    const stranger = await sideOf('stranger', { p2p: i % 2 === 0 ? {} : false })
    await untilEnd(await join(stranger, share, { password: `guess ${i}` }), 'wrong-password')
    await stranger.sharing.close()
  }
  expect(share.state).toEqual({ name: 'locked' })
  const late = await sideOf('late')
  await untilEnd(await join(late, share, { password: 'hunter2' }), 'locked')
  await acceptAll(open)
  expect(await received(open)).toEqual([sha256(file)])
  share.setPassword('another')
  expect(share.state).toEqual({ name: 'open' })
  await untilState(await join(await sideOf('friend'), share, { password: 'another' }), { name: 'open' })
}, 120_000)

test('[FT60] a code that was said right brings the files, and works once', async () => {
  const host = await sideOf('host')
  const share = host.sharing.host({ password: 'not asked for' })
  const file = randomBytes(2_000_000)
  share.add([fileOf('file.bin', file)])
  share.newCode()
  await expect.poll(() => share.code.name, WAIT).toBe('ready')
  const code = share.code.name === 'ready' ? share.code.code : ''
  expect(code).toMatch(/^\d+(-[a-z]+){3}$/)
  const guest = await sideOf('guest')
  const session = await guest.sharing.joinCode(code.toUpperCase().replaceAll('-', ' '))
  await acceptAll(session)
  expect(await received(session)).toEqual([sha256(file)])
  expect([session.peer.name, session.state]).toMatchObject([host.peer.name, { name: 'open', path: 'direct' }])
  expect(share.code).toEqual({ name: 'used' })
  // The second name is given back.
  const number = code.split('-')[0] ?? ''
  await expect.poll(async () => (await host.peer.lookup([`share-${number}`]))[0]?.state, WAIT).toBe('offline')
  await untilEnd(await (await sideOf('late')).sharing.joinCode(code), 'not-found')
})

test('[FT60] a wrong code is void at once, and a new one works', async () => {
  const host = await sideOf('host')
  const share = host.sharing.host()
  const ready = async (): Promise<string> => {
    share.newCode()
    await expect.poll(() => share.code.name, WAIT).toBe('ready')
    return share.code.name === 'ready' ? share.code.code : ''
  }
  const code = await ready()
  const [number, ...words] = code.split('-')
  const wrong = [number, ...words.map((word) => (word === 'acid' ? 'zoom' : 'acid'))].join('-')
  await untilEnd(await (await sideOf('guesser')).sharing.joinCode(wrong), 'wrong-code')
  await expect.poll(() => share.code, WAIT).toEqual({ name: 'burnt' })
  const next = await ready()
  expect(next).not.toBe(code)
  await untilState(await (await sideOf('guest')).sharing.joinCode(next), { name: 'open' })
})

test('[FT62] a one-time share is taken by the first Accept, and its guest comes back', async () => {
  const host = await sideOf('host')
  const share = host.sharing.host({ isOneTime: true })
  const file = randomBytes(2_000_000)
  share.add([fileOf('file.bin', file)])
  const [one, other] = [await sideOf('one'), await sideOf('other')]
  const [first, second] = await Promise.all([join(one, share), join(other, share)])
  await expect.poll(() => [filesOf(first).length, filesOf(second).length], WAIT).toEqual([1, 1])
  expect(share.state).toEqual({ name: 'open' })
  await acceptAll(first)
  await untilEnd(second, 'taken-elsewhere')
  await expect.poll(() => first.hasTaken, WAIT).toBe(true)
  expect(await received(first)).toEqual([sha256(file)])
  expect(share.state).toEqual({ name: 'taken' })
  await untilEnd(await join(await sideOf('late'), share), 'taken-elsewhere')
  const { guestTicket } = first
  await one.sharing.close()
  await untilState(first, { name: 'ended', why: 'self-closed' })
  const back = await join(await sideOf('back'), share, { ticket: guestTicket })
  await acceptAll(back)
  expect(await received(back)).toEqual([sha256(file)])
  expect(back.hasTaken).toBe(true)
})

test('[FT63] a host that stops says so to all guests, and to those that come later', async () => {
  const host = await sideOf('host')
  const share = host.sharing.host()
  const sessions = await Promise.all([
    join(await sideOf('one'), share),
    join(await sideOf('other', { p2p: false }), share),
  ])
  for (const session of sessions) await untilState(session, { name: 'open' })
  share.stop()
  for (const session of sessions) await untilEnd(session, 'stopped')
  await untilEnd(await join(await sideOf('late'), share), 'stopped')
  await untilEnd(await join(await sideOf('late', { p2p: false }), share), 'stopped')
})

test('[FT68] a session whose peer another connection has replaced ends', async () => {
  const secret = 'k'.repeat(30)
  const host = await sideOf('host')
  const share = host.sharing.host()
  const name = nameOf('guest')
  const session = await join(await sideOf('guest', { secret, name }), share)
  await untilState(session, { name: 'open' })
  const usurper: Peer = await connect(honest.url, { name, secret, storage: null, p2p: false })
  onTestFinished(() => usurper.leave())
  await untilEnd(session, 'self-closed')
})
