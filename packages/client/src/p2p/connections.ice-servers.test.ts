import { describe, expect, it } from 'vitest'
import { IceServers, iceServersOf } from './connections.js'
import { createP2P } from './p2p.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { Rendezvous } from '../testing/rendezvous.js'

const INTEGRATED = '198.51.100.1:9001'
const OTHER = '198.51.100.2:9901'
const TURN = {
  urls: ['turn:198.51.100.3:3478'],
  username: '1700000000:alice',
  credential: 'x',
  ttlMs: 300_000,
}

function contextWith(server: string | null, turn: typeof TURN | null = null) {
  const made = new Rendezvous().context('alice')
  return { ...made, welcome: { ...made.welcome, p2p: { server, turn } } }
}

describe('[PP21] the P2P server in use', () => {
  it.each([
    {
      setting: undefined,
      welcome: INTEGRATED,
      use: INTEGRATED,
      why: 'is the integrated one without a setting',
    },
    {
      setting: null,
      welcome: INTEGRATED,
      use: INTEGRATED,
      why: 'is the integrated one if the setting is null',
    },
    {
      setting: INTEGRATED,
      welcome: INTEGRATED,
      use: INTEGRATED,
      why: 'is the integrated one if the setting is the same address',
    },
    { setting: OTHER, welcome: INTEGRATED, use: OTHER, why: 'is the one of the setting' },
    {
      setting: OTHER,
      welcome: null,
      use: OTHER,
      why: 'is the one of the setting if there is no integrated one',
    },
  ])('$why', async ({ setting, welcome, use }) => {
    const context = contextWith(welcome)
    const p2p = createP2P(context, setting)
    expect(p2p?.p2pServer).toBe(use)
    void p2p?.close()
    expect(await new IceServers(context, setting).current()).toEqual([{ urls: `stun:${use}` }])
  })

  it.each([undefined, null])('without any, there is no controller (setting %s)', (setting) => {
    expect(createP2P(contextWith(null), setting)).toBe(null)
  })

  it('with p2p: false, there is no controller', () => {
    expect(createP2P(contextWith(INTEGRATED), OTHER, false)).toBe(null)
  })

  it('is null if there is only a TURN server', async () => {
    const context = contextWith(null, TURN)
    const p2p = createP2P(context, null)
    expect(p2p?.p2pServer).toBe(null)
    void p2p?.close()
    const { urls, username, credential } = TURN
    expect(await new IceServers(context, null).current()).toEqual([{ urls, username, credential }])
  })

  it('cannot be changed after connecting', () => {
    const p2p = createP2P(contextWith(INTEGRATED), null)
    expect(() => p2p && (p2p.p2pServer = OTHER)).toThrow('cannot be changed after connecting')
    void p2p?.close()
  })

  it.each([
    'nonsense',
    'stun:host:1',
    'host',
    'host:port',
    '',
    'a b:1',
    'a:0',
    'a:65536',
    '::1:1',
    '[::1]',
    '[:::]:1',
  ])('must be host:port; %j is not', (setting) => {
    expect(() => createP2P(contextWith(INTEGRATED), setting)).toThrow('host:port')
  })
})

describe('[PP28] the URLs of the ICE servers', () => {
  const { username, credential } = TURN
  const login = { username, credential }

  it('are written in the spelling that every stack accepts, each URL once', () => {
    const urls = ['TURN:A.example', 'turn:a.example', 'turns:[2001:DB8:0::1]:443?transport=TCP']
    expect(iceServersOf('[::1]:9001', { ...TURN, urls })).toEqual([
      { urls: 'stun:[::1]:9001' },
      { ...login, urls: ['turn:a.example', 'turns:[2001:db8::1]:443?transport=tcp'] },
    ])
  })

  it('are left out if they are malformed', () => {
    const urls = ['turn://a.example', 'turn:a/path', 'turn:u@a', 'http://a', '']
    expect(iceServersOf('a b:1', { ...TURN, urls: [...urls, 'turn:a'] })).toEqual([
      { ...login, urls: ['turn:a'] },
    ])
    expect(iceServersOf('[::1', { ...TURN, urls })).toEqual([])
    expect(iceServersOf(null, { ...TURN, urls: [] })).toEqual([])
  })
})

describe('[PP22] TURN credentials', () => {
  it('are renewed before they expire, and kept when no answer comes', async () => {
    let now = 1_000_000
    const answers = [{ ...TURN, username: '1700000300:alice' }, undefined]
    let asked = 0
    const context = {
      ...contextWith(INTEGRATED, TURN),
      clock: { now: () => now, after: () => ({ cancel: () => undefined }) },
      requestTurn: () => Promise.resolve(answers[asked++]),
    }
    const servers = new IceServers(context, null)
    const username = async (): Promise<string | undefined> => (await servers.current())[1]?.username
    now += 200_000
    expect(await username()).toBe('1700000000:alice')
    expect(asked).toBe(0)
    now += 50_000
    expect(await username()).toBe('1700000300:alice')
    now += 250_000
    expect(await username()).toBe('1700000300:alice')
    expect(asked).toBe(2)
  })

  it('are renewed in a connection for its next ICE restart, as long as it is open', async () => {
    const clock = new FakeClock()
    let asked = 0
    const answers = [{ ...TURN, username: 'second' }, undefined, { ...TURN, username: 'third' }]
    const context = {
      ...contextWith(null, TURN),
      clock,
      requestTurn: () => Promise.resolve(answers[asked++]),
    }
    const servers = new IceServers(context, null)
    const connection = new FakeConnection()
    servers.keepFresh(connection)
    const unable = new FakeConnection()
    Object.assign(unable, { restartIce: undefined })
    servers.keepFresh(unable)
    await clock.advance(225_000)
    expect(connection.usernames).toEqual(['second'])
    expect(connection.getConfiguration().iceTransportPolicy).toBe('relay')
    // There was no answer, so the connection keeps its credentials, and we ask again after 10 s.
    await clock.advance(225_000)
    expect(connection.usernames).toEqual(['second', 'second'])
    await clock.advance(10_000)
    expect(connection.usernames).toEqual(['second', 'second', 'third'])
    connection.connectionState = 'closed'
    await clock.advance(900_000)
    expect(asked).toBe(3)
    expect(unable.usernames).toEqual([])
  })

  it('[PP28] are renewed in an open connection although its stack refuses one of the URLs', async () => {
    const clock = new FakeClock()
    const fresh = { ...TURN, urls: ['turn:a:6000', 'turn:b'], username: 'second' }
    const context = { ...contextWith(null, TURN), clock, requestTurn: () => Promise.resolve(fresh) }
    const servers = new IceServers(context, null)
    const connection = new FakeConnection()
    servers.keepFresh(connection)
    await clock.advance(225_000)
    expect(connection.getConfiguration()).toEqual({
      iceTransportPolicy: 'relay',
      iceServers: [{ urls: 'turn:b', username: 'second', credential: TURN.credential }],
    })
    servers.close()
  })

  it('that expire within a moment are asked for every ten seconds only', async () => {
    const clock = new FakeClock()
    let asked = 0
    const requestTurn = () => Promise.resolve({ ...TURN, ttlMs: asked++ % 2 })
    const servers = new IceServers({ ...contextWith(null, { ...TURN, ttlMs: 1 }), clock, requestTurn }, null)
    servers.keepFresh(new FakeConnection())
    await clock.advance(60_000)
    expect(asked).toBe(6)
    servers.close()
  })
})

/** The members of RTCPeerConnection that renewing credentials uses. */
class FakeConnection {
  connectionState: RTCPeerConnectionState = 'connected'
  readonly usernames: (string | undefined)[] = []
  #configuration: RTCConfiguration = { iceTransportPolicy: 'relay' }
  restartIce(): void {}
  getConfiguration(): RTCConfiguration {
    return this.#configuration
  }
  setConfiguration(configuration: RTCConfiguration): void {
    const urls = (configuration.iceServers ?? []).flatMap((server) => server.urls)
    if (urls.includes('turn:a:6000')) throw new SyntaxError('the port is blocked')
    this.#configuration = configuration
    this.usernames.push(configuration.iceServers?.[0]?.username)
  }
}
