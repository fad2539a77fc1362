import type { AnonymousSession, Node, RoomText } from '@peerage/core'
import type { RoomId } from '@peerage/protocol'
import { limits as wireLimits } from '@peerage/protocol'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import type { ConfigInput } from '../../config/schema.js'
import { eventually } from '../../testing/peerjs-fixture.js'
import type { WireFixture, WireFixtureOptions } from '../../testing/wire-fixture.js'
import { closeWires, sockets, startWire } from '../../testing/wire-fixture.js'
import { claimsOfAlice, SECRET, sign } from '../../testing/tokens.js'
import { unlimited } from '../../testing/unlimited.js'
import type { AccessDecision, AdmitRequest } from './access.js'
import { AnonymousConnection, AnonymousGateway } from './anonymous-gateway.js'
import type { Arrival, GatewayOptions } from './gateway.js'
import type { UrlHost } from './url-connection.js'

// The smallest wire of peers without names: each text frame that a peer sends comes back to it.

interface EchoHost extends UrlHost {
  missed: number
  /** What the handling of the frame `slow` waits for. */
  slow: Promise<void>
}

class EchoConnection extends AnonymousConnection<EchoHost> {
  protected receive(session: AnonymousSession, text: string): Promise<void> | void {
    if (text === 'slow') return this.host.slow.then(() => void this.write('slow answer'))
    if (text === '{') this.malformed('no JSON')
    else this.write(`${session.app} ${text}`)
  }

  protected override encode({ text, members, to }: RoomText): string | undefined {
    return to === 'another' ? undefined : `${members} ${text}`
  }

  protected override missed(): void {
    this.host.missed++
  }
}

class EchoGateway extends AnonymousGateway<EchoConnection> implements EchoHost {
  missed = 0
  slow: Promise<void> = Promise.resolve()
  readonly all: EchoConnection[] = []

  constructor(options: GatewayOptions) {
    super(options, { wire: 'trystero', endpoint: { path: '/at/echo', setting: 'path' }, ...sockets })
  }

  protected connectionOf(arrival: Arrival): EchoConnection {
    const connection = new EchoConnection(arrival, this)
    this.all.push(connection)
    return connection
  }
}

/** The most that passes between a refusal and the close. */
const REFUSED_MS = 4_500

const startEcho = (more: WireFixtureOptions = {}): Promise<WireFixture<EchoGateway>> =>
  startWire((options) => new EchoGateway(options), more)

const KEY = 'a-shared-key-of-many-characters'
const withKey: WireFixtureOptions = {
  settings: { apps: { chess: { access: { mode: 'key', key: KEY } }, open: {} }, defaultApp: 'open' },
}

/** How the gateway closes a peer that it refuses. */
async function refusalOf(
  fixture: WireFixture<EchoGateway>,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ code: number; reason: string }> {
  const before = fixture.seen.length
  const peer = fixture.connect(path, { headers })
  await peer.opened()
  await eventually('refused', () => fixture.seen.slice(before).some((line) => line.startsWith('registered')))
  return lateEndOf(fixture, peer)
}

/** How the gateway closes a peer that it has turned away. y-webrtc comes back at once, so it must not be soon. */
async function lateEndOf(
  { clock }: Pick<WireFixture<EchoGateway>, 'clock'>,
  peer: WirePeer,
): Promise<{ code: number; reason: string }> {
  await clock.advance(1_999)
  expect(peer.end).toBeUndefined()
  await clock.advance(REFUSED_MS - 1_999)
  return peer.ended()
}

/** Access rules of an application that answer when the test says. */
function slowAccess(): {
  asked: AdmitRequest[]
  answer: (decision: AccessDecision) => void
  rules: GatewayOptions['access']
} {
  const asked: AdmitRequest[] = []
  const waiting: ((decision: AccessDecision) => void)[] = []
  return {
    asked,
    answer: (decision) => waiting.shift()?.(decision),
    rules: {
      admit: (request) => {
        asked.push(request)
        return new Promise((resolve) => waiting.push(resolve))
      },
    },
  }
}

/** Lets time pass when the node has stopped to read a peer that is over its rate. */
async function slowed(clock: FakeClock, ms: number): Promise<void> {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
  await clock.advance(ms)
}

const admitted = (node: Node): AnonymousSession[] =>
  [...node.sessions.all()].flatMap((session) => (session.state === 'anonymous' ? [session] : []))

const roomText = (text: string, to?: string): RoomText => ({
  type: 'published',
  room: 'open:trystero/r' as RoomId,
  text,
  to,
  members: 3,
  sender: undefined,
})

afterEach(async () => {
  vi.restoreAllMocks()
  await closeWires()
})

describe('the URL of a peer', () => {
  test.each([
    ['/at/echo', 'open'],
    ['/at/echo/', 'open'],
    ['/at/echo/open', 'open'],
    ['/at/echo/open/', 'open'],
    ['/at/echo/open/any/path?and=query', 'open'],
    [`/at/echo/chess?token=${KEY}`, 'chess'],
    [`/at/echo/chess?key=${KEY}`, 'chess'],
    [`/at/echo/chess/room?key=wrong&token=${KEY}`, 'chess'],
    [`/at/echo/chess?token=wrong&token=${KEY}`, 'chess'],
  ])('[UW1] [UW2] %s is of the app %s', async (path, app) => {
    const { connect, node } = await startEcho(withKey)
    const peer = connect(path)
    await peer.opened()
    peer.send('hello')
    expect(await peer.frame(1)).toBe(`${app} hello`)
    expect(admitted(node).map((session) => session.app)).toEqual([app])
  })

  test.each([
    '/at/echo/BAD',
    '/at/echo//open',
    '/at/echo/%6fpen',
    '/at/echo/..',
    `/at/echo/${'a'.repeat(33)}`,
  ])('[UW1] %s has no valid app, and is answered 400', async (path) => {
    const { connect, seen } = await startEcho(withKey)
    const peer = connect(path)
    // A WebSocket resolves `..` itself.
    await peer.ended()
    expect(seen).toEqual(path.endsWith('..') ? ['registered ok'].slice(1) : ['rejected malformed'])
  })

  test('[UW2] a token that is longer than any is answered 400', async () => {
    const { connect, seen } = await startEcho()
    await connect(`/at/echo?token=${'x'.repeat(wireLimits.tokenLength + 1)}`).ended()
    expect(seen).toEqual(['rejected malformed'])
  })

  test('[UW1] other paths are left to others', async () => {
    const { connect, seen } = await startEcho()
    for (const path of ['/at', '/at/echoes', '/echo']) {
      await connect(path).ended()
    }
    expect(seen).toEqual([])
  })

  test('[UW2] the access rules get the token, the origin, the headers and a name that the node made', async () => {
    const { asked, answer, rules } = slowAccess()
    const { connect } = await startEcho({ access: rules })
    const headers = { Origin: 'https://app.example', Cookie: 'a=b' }
    const peer = connect('/at/echo/chess?token=t', { headers })
    await peer.opened()
    await eventually('asked', () => asked.length === 1)
    expect(asked[0]).toMatchObject({
      app: 'chess',
      token: 't',
      wire: 'trystero',
      origin: 'https://app.example',
      address: '127.0.0.1',
      isNameMade: true,
      headers: { cookie: 'a=b' },
    })
    expect(asked[0]?.name).toMatch(/^[\w-]{22}$/)
    answer({ ok: true, app: 'default' as AnonymousSession['app'], identity: 'ann' })
    peer.send('hello')
    expect(await peer.frame(1)).toBe('default hello')
  })
})

describe('a peer that may not come in', () => {
  test.each([
    ['/at/echo/chess', 4502, 'the key is missing or wrong: the URL needs it, as ?key=…'],
    ['/at/echo/chess?key=wrong', 4502, 'the key is missing or wrong: the URL needs it, as ?key=…'],
    ['/at/echo/other', 4502, 'this app is not served here'],
  ])('[UW4] %s is closed with %i and is told why', async (path, code, reason) => {
    expect(await refusalOf(await startEcho(withKey), path)).toEqual({ code, reason })
  })

  test('[UW4] a page of an origin that the app does not list is refused', async () => {
    const fixture = await startEcho({
      settings: { apps: { chess: { origins: ['https://chess.example'] }, open: {} }, defaultApp: 'open' },
    })
    const headers = { Origin: 'https://evil.example' }
    expect(await refusalOf(fixture, '/at/echo/chess', headers)).toEqual({
      code: 4502,
      reason: 'this origin may not connect',
    })
  })

  test('[UW4] rules that cannot be asked and a full app close with codes after which a peer comes back', async () => {
    const { asked, answer, rules } = slowAccess()
    const fixture = await startEcho({ access: rules })
    const peer = fixture.connect('/at/echo')
    await eventually('asked', () => asked.length === 1)
    answer({ ok: false, code: 'access-unavailable', detail: 'down' })
    await eventually('refused', () => fixture.seen.includes('registered access-unavailable'))
    await fixture.clock.advance(REFUSED_MS)
    expect(await peer.ended()).toEqual({ code: 4009, reason: 'down' })

    const small = await startEcho({
      settings: { apps: { chess: { limits: { app: { connections: 1 } } } }, defaultApp: 'chess' },
    })
    const first = small.connect('/at/echo')
    await eventually('in', () => admitted(small.node).length === 1)
    expect((await refusalOf(small, '/at/echo')).code).toBe(4006)
    await first.close()
    await eventually('left', () => small.budgets.of('chess' as AnonymousSession['app'])?.connections === 0)
    small.connect('/at/echo')
    await eventually('in again', () => admitted(small.node).length === 1)
  })

  test('[UW4] rules that throw close with 4008, and the error is reported', async () => {
    const fixture = await startEcho({ access: { admit: () => Promise.reject(new Error('a bug')) } })
    expect((await refusalOf(fixture, '/at/echo')).code).toBe(4008)
    expect(fixture.seen).toContain('error claim Error: a bug')
  })

  test('[UW4] after too many refusals of an address a right key is refused too', async () => {
    const address = { ...unlimited.address, failuresPerMinute: 2 }
    const fixture = await startEcho({ ...withKey, limitValues: { ...unlimited, address } })
    // Loopback is never kept out, so the peer comes from elsewhere.
    const { limits } = fixture.gateway
    vi.spyOn(limits, 'failuresMs').mockReturnValue(5_000)
    expect((await refusalOf(fixture, `/at/echo/chess?key=${KEY}`)).code).toBe(4004)
  })

  test('[UW3] [UW4] its frames are dropped until it is closed', async () => {
    const fixture = await startEcho(withKey)
    const peer = fixture.connect('/at/echo/chess')
    await peer.opened()
    await eventually('refused', () => fixture.seen.includes('registered forbidden'))
    for (let i = 0; i < 100; i++) peer.send('hello')
    expect((await lateEndOf(fixture, peer)).code).toBe(4502)
    expect(peer.frames).toEqual([])
  })
})

test('[UW4] frames of a peer that is turned away are hardly read', async () => {
  const pause = vi.spyOn(EchoConnection.prototype, 'pause')
  const fixture = await startEcho(withKey)
  const peer = fixture.connect('/at/echo/chess')
  await peer.opened()
  await eventually('refused', () => fixture.seen.includes('registered forbidden'))
  for (let i = 0; i < 100; i++) peer.send('x'.repeat(10_000))
  await eventually('a pause', () => pause.mock.calls.length > 0)
  expect((await lateEndOf(fixture, peer)).code).toBe(4502)
  // One for each 100 ms.
  expect(pause.mock.calls.length).toBeLessThan(50)
})

describe('frames that come before the answer', () => {
  test('[UW3] are handled after it, in order', async () => {
    const { asked, answer, rules } = slowAccess()
    const { connect } = await startEcho({ access: rules })
    const peer = connect('/at/echo')
    await peer.opened()
    for (const text of ['1', '2', '3']) peer.send(text)
    peer.socket.ping()
    await new Promise((resolve) => peer.socket.once('pong', resolve))
    expect([asked.length, peer.frames]).toEqual([1, []])
    answer({ ok: true, app: 'default' as AnonymousSession['app'] })
    await peer.frame(3)
    peer.send('4')
    await peer.frame(4)
    expect(peer.frames).toEqual(['default 1', 'default 2', 'default 3', 'default 4'])
  })

  test.each([
    ['1,024 frames', 1_025, 'x'],
    ['256 KiB', 5, 'x'.repeat(65_000)],
  ])('[UW3] [UW4] beyond %s close the connection late', async (_, count, text) => {
    const { rules } = slowAccess()
    const fixture = await startEcho({ access: rules })
    const peer = fixture.connect('/at/echo')
    await peer.opened()
    for (let i = 0; i < count; i++) peer.send(text)
    await eventually('too many', () => fixture.seen.includes('rejected too-many'))
    expect((await lateEndOf(fixture, peer)).code).toBe(4004)
  })

  test('[UW3] a peer that has gone before the answer is not let in', async () => {
    const { asked, answer, rules } = slowAccess()
    const { connect, node, gateway, budgets } = await startEcho({ access: rules })
    const peer = connect('/at/echo')
    await peer.opened()
    await eventually('asked', () => asked.length === 1)
    await peer.cut()
    await eventually('ended', () => gateway.connections === 0)
    answer({ ok: true, app: 'default' as AnonymousSession['app'] })
    await new Promise((resolve) => setImmediate(resolve))
    expect(admitted(node)).toEqual([])
    expect(budgets.of('default' as AnonymousSession['app'])?.connections).toBe(0)
  })
})

describe('frames that come while an earlier one is handled', () => {
  const heldBack = () => {
    let go = (): void => {}
    const slow = new Promise<void>((resolve) => (go = resolve))
    return { slow, go }
  }

  test('[UW3] wait for it, in order', async () => {
    const { connect, gateway } = await startEcho()
    const { slow, go } = heldBack()
    gateway.slow = slow
    const [peer, neighbour] = [connect('/at/echo'), connect('/at/echo')]
    await peer.opened()
    await neighbour.opened()
    for (const text of ['slow', '1', 'slow', '2']) peer.send(text)
    peer.socket.ping()
    await new Promise((resolve) => peer.socket.once('pong', resolve))
    expect(peer.frames).toEqual([])
    neighbour.send('served')
    await neighbour.frame(1)
    go()
    await peer.frame(4)
    expect(peer.frames).toEqual(['slow answer', 'default 1', 'slow answer', 'default 2'])
  })

  test('[UW3] are not handled if that fails: the connection is closed with 4008, and the error is reported', async () => {
    const fixture = await startEcho()
    const { connect, gateway, seen } = fixture
    const { slow, go } = heldBack()
    gateway.slow = slow.then(() => Promise.reject(new Error('a bug')))
    const peer = connect('/at/echo')
    await peer.opened()
    for (const text of ['slow', 'next']) peer.send(text)
    peer.socket.ping()
    await new Promise((resolve) => peer.socket.once('pong', resolve))
    go()
    await eventually('the error', () => seen.includes('error frame Error: a bug'))
    expect((await lateEndOf(fixture, peer)).code).toBe(4008)
    expect(peer.frames).toEqual([])
  })

  test('[UW3] are not handled after the end', async () => {
    const { connect, gateway, seen } = await startEcho()
    const { slow, go } = heldBack()
    gateway.slow = slow
    const peer = connect('/at/echo')
    await peer.opened()
    for (const text of ['slow', '{']) peer.send(text)
    peer.socket.ping()
    await new Promise((resolve) => peer.socket.once('pong', resolve))
    await peer.cut()
    await eventually('ended', () => gateway.connections === 0)
    go()
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen).not.toContain('rejected malformed')
  })
})

describe('frames of a peer', () => {
  test('[UW5] over the rates wait', async () => {
    const connection = { ...unlimited.connection, messagesPerSecond: 2 }
    const { connect, seen, clock } = await startEcho({ limitValues: { ...unlimited, connection } })
    const peer = connect('/at/echo')
    await peer.opened()
    for (let i = 0; i < 6; i++) peer.send(String(i))
    await peer.frame(4)
    await slowed(clock, 500)
    await peer.frame(5)
    await slowed(clock, 500)
    expect(await peer.frame(6)).toBe('default 5')
    expect(seen).not.toContain('rejected rate-limited')
  })

  test('[UW5] are bounded by what the access rules grant, if that is less', async () => {
    const { asked, answer, rules } = slowAccess()
    const { connect, clock } = await startEcho({ access: rules })
    const peer = connect('/at/echo')
    await peer.opened()
    await eventually('asked', () => asked.length === 1)
    answer({ ok: true, app: 'default' as AnonymousSession['app'], limits: { messagesPerSecond: 2 } })
    for (let i = 0; i < 6; i++) peer.send('x')
    await peer.frame(4)
    await slowed(clock, 1_000)
    await peer.frame(6)
  })

  test('[UW5] count for the app, whose rate they share', async () => {
    const { connect, clock, seen } = await startEcho({
      settings: { apps: { chess: { limits: { app: { messagesPerSecond: 2 } } } }, defaultApp: 'chess' },
    })
    const peers = [connect('/at/echo'), connect('/at/echo')]
    const got = (): number => peers.reduce((count, peer) => count + peer.frames.length, 0)
    for (const peer of peers) await peer.opened()
    for (const peer of peers) for (let i = 0; i < 4; i++) peer.send('x')
    await eventually('so many', () => got() === 4)
    await slowed(clock, 5_000)
    await eventually('all', () => got() === 8)
    expect(seen).not.toContain('rejected rate-limited')
  })

  test('[UW5] a message to a room costs one for each member and kilobyte', async () => {
    const connection = { ...unlimited.connection, messagesPerSecond: 10 }
    const { connect, gateway, clock } = await startEcho({ limitValues: { ...unlimited, connection } })
    await connect('/at/echo').opened()
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    const own = gateway.all[0]
    // 100 members a second, and 200 at once.
    expect(own?.paysToSay(100, 1_024)).toBe(true)
    expect(own?.paysToSay(50, 1_025)).toBe(true)
    const paid = vi.fn<(isPaid?: boolean) => void>()
    void Promise.resolve(own?.paysToSay(50, 1)).then(paid)
    await clock.advance(499)
    expect(paid).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(paid).toHaveBeenCalledWith(true)
  })

  test('[UW4] [UW6] malformed ones are dropped and counted, and after 100 the connection is closed late', async () => {
    const fixture = await startEcho()
    const { connect, seen, logs } = fixture
    const peer = connect('/at/echo')
    await peer.opened()
    for (let i = 0; i < 100; i++) peer.send('{')
    peer.send('still here')
    await peer.frame(1)
    expect(seen.filter((line) => line === 'rejected malformed')).toHaveLength(100)
    peer.send('{')
    for (let i = 0; i < 10; i++) peer.send('too late')
    await eventually('101', () => seen.filter((line) => line === 'rejected malformed').length === 101)
    expect((await lateEndOf(fixture, peer)).code).toBe(4503)
    expect(peer.frames).toHaveLength(1)
    expect(logs).toEqual([
      { event: 'dropped', details: { wire: 'trystero', what: 'malformed', app: 'default', text: 'no JSON' } },
    ])
  })

  test('[UW6] that would be slow to parse are malformed', async () => {
    const { connect, seen } = await startEcho()
    const peer = connect('/at/echo')
    await peer.opened()
    peer.send(`[${'[],'.repeat(20_000)}[]]`)
    peer.send('next')
    expect(await peer.frame(1)).toBe('default next')
    expect(seen).toContain('rejected malformed')
  })

  test('[UW4] [UW6] above the frame limit end the connection late with 1009, and the neighbours are served', async () => {
    const fixture = await startEcho()
    const { connect, seen } = fixture
    const [peer, neighbour] = [connect('/at/echo'), connect('/at/echo')]
    await peer.opened()
    await neighbour.opened()
    peer.send('x'.repeat(sockets.frameBytes + 1))
    await eventually('too long', () => seen.includes('rejected fault'))
    // What it sends now is not read.
    for (let i = 0; i < 100; i++) peer.send('x'.repeat(sockets.frameBytes))
    neighbour.send('hello')
    await neighbour.frame(1)
    expect(await lateEndOf(fixture, peer)).toEqual({ code: 1009, reason: 'a frame may have 65536 bytes' })
    expect(peer.frames).toEqual([])
    await eventually('ended', () => fixture.gateway.connections === 1)
    expect(seen).toContain('closed protocol')
  })

  test('[UW4] that break the protocol end the connection late, and it may go before', async () => {
    const fixture = await startEcho()
    const { connect, seen, gateway } = fixture
    const [peer, hasty] = [connect('/at/echo'), connect('/at/echo')]
    await peer.opened()
    await hasty.opened()
    // Text that is no UTF-8.
    for (const { socket } of [peer, hasty]) socket.send(Buffer.from([0xff]), { binary: false })
    await eventually('faults', () => seen.filter((line) => line === 'rejected fault').length === 2)
    hasty.socket.terminate()
    await eventually('gone', () => gateway.connections === 1)
    expect((await lateEndOf(fixture, peer)).code).toBe(1007)
    await eventually('ended', () => gateway.connections === 0)
  })

  test('[UW5] pings far over the rate end the connection late', async () => {
    const connection = { ...unlimited.connection, messagesPerSecond: 10 }
    const fixture = await startEcho({ limitValues: { ...unlimited, connection } })
    const peer = fixture.connect('/at/echo')
    await peer.opened()
    const over = (): number => fixture.seen.filter((line) => line === 'rejected rate-limited').length
    for (let i = 0; i < 1_300; i++) peer.socket.ping()
    await eventually('over', () => over() >= 1_201)
    expect((await lateEndOf(fixture, peer)).code).toBe(4004)
  })

  test('in binary are read as text', async () => {
    const { connect } = await startEcho()
    const peer = connect('/at/echo')
    await peer.opened()
    peer.send(Buffer.from('binary'))
    expect(await peer.frame(1)).toBe('default binary')
  })
})

describe('what the node tells a peer', () => {
  test('messages of rooms as its wire writes them, and frames of pools as they are', async () => {
    const { connect, gateway } = await startEcho()
    const peer = connect('/at/echo')
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    const own = gateway.all[0]
    expect(own?.send(roomText('hello'))).toBe(true)
    expect(own?.send(roomText('not for you', 'another'))).toBe(true)
    expect(own?.send({ type: 'handed', frame: 'an offer' })).toBe(true)
    await peer.frame(2)
    expect(peer.frames).toEqual(['3 hello', 'an offer'])
  })

  test('a peer that reads too slowly misses messages, and its wire is told', async () => {
    const { connect, gateway } = await startEcho()
    const peer = connect('/at/echo')
    await peer.opened()
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    peer.socket.pause()
    const own = gateway.all[0]
    const long = roomText('x'.repeat(60_000))
    for (let i = 0; i < 1_000 && gateway.missed === 0; i++) {
      own?.send(long)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(gateway.missed).toBe(1)
  })
})

describe('how a connection ends', () => {
  test('[UW7] it is closed with 4504 when its access ends', async () => {
    // The ends are spread over 10 s.
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const { asked, answer, rules } = slowAccess()
    const { connect, clock, gateway } = await startEcho({ access: rules })
    const peer = connect('/at/echo')
    await eventually('asked', () => asked.length === 1)
    answer({ ok: true, app: 'default' as AnonymousSession['app'], endsAt: clock.now() + 1_000 })
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    await clock.advance(1_250)
    expect((await peer.ended()).code).toBe(4504)
  })

  // A client of y-webrtc once came in, was closed and came back four times a second: each time with a token that had
  // ended, but within the 30 s by which clocks may differ.
  test('[UW7] a token that has just ended lets its peer in once, and is refused when that access ends', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const time = new FakeClock()
    const token = await sign({ ...claimsOfAlice(time.now()), exp: time.now() / 1_000 - 28 })
    const access: ConfigInput['access'] = { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } }
    const fixture = await startEcho({ time, settings: { apps: { chat: { access } }, defaultApp: 'chat' } })
    const { connect, gateway } = fixture
    const path = `/at/echo/chat?token=${token}`
    const peer = connect(path)
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    await time.advance(1_900)
    expect(gateway.all[0]?.isOpen).toBe(true)
    await time.advance(350)
    expect((await peer.ended()).code).toBe(4504)
    expect(await refusalOf(fixture, path)).toEqual({
      code: 4502,
      reason: 'the token has expired; get a new one',
    })
  })

  test('[UW8] a connection that is to be closed later is closed at the earliest of its times, with the first reason', async () => {
    const { connect, gateway, clock } = await startEcho()
    const peers = [connect('/at/echo'), connect('/at/echo')]
    await eventually('in', () => gateway.all.length === 2 && gateway.all.every(({ session }) => session))
    for (const connection of gateway.all) {
      gateway.lateCloses.add(connection, 3_000, 'registry-unavailable', { text: 'begin anew' })
      gateway.lateCloses.add(connection, 1_000, 'internal')
      gateway.lateCloses.add(connection, 5_000, 'internal')
    }
    await clock.advance(999)
    expect(peers.map(({ end }) => end)).toEqual([undefined, undefined])
    await clock.advance(251)
    for (const peer of peers) expect(await peer.ended()).toEqual({ code: 4007, reason: 'begin anew' })
  })

  test('[UW8] a connection that ends before its late close leaves nothing behind', async () => {
    const { connect, gateway, clock } = await startEcho()
    const peer = connect('/at/echo')
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    const before = clock.pending
    if (gateway.all[0]) gateway.lateCloses.add(gateway.all[0], 3_000, 'registry-unavailable')
    expect(clock.pending).toBe(before + 1)
    await peer.cut()
    await eventually('ended', () => gateway.connections === 0)
    expect(clock.pending).toBe(before)
  })

  test('[UW8] a drain closes it with 4000, and its session leaves', async () => {
    const { connect, gateway, node } = await startEcho()
    const end = vi.spyOn(node, 'end')
    const peer = connect('/at/echo')
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    await gateway.drain(100)
    expect((await peer.ended()).code).toBe(4000)
    await vi.waitFor(() => expect(end.mock.calls).toEqual([[gateway.all[0]?.id, 'left']]))
  })

  test('[UW4] while the node drains a peer is refused at once with 4000', async () => {
    const { asked, answer, rules } = slowAccess()
    const { connect, node } = await startEcho({ access: rules })
    const peer = connect('/at/echo')
    await eventually('asked', () => asked.length === 1)
    node.beginDrain()
    answer({ ok: true, app: 'default' as AnonymousSession['app'] })
    expect((await peer.ended()).code).toBe(4000)
  })

  test('a half-open peer is found by ping', async () => {
    const { connect, clock, gateway } = await startEcho()
    const peer = connect('/at/echo', { autoPong: false })
    await eventually('in', () => gateway.all[0]?.session !== undefined)
    for (let i = 0; i < 40; i++) await clock.advance(1_000)
    expect((await peer.ended()).code).toBe(1006)
  })
})
