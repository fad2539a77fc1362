import { stageTexts } from '../connect-error.js'
import { describe, expect, it } from 'vitest'
import type { HandshakeEnd } from './events.js'
import { Handshake } from './handshake.js'
import type { HandshakeSignal } from './signals.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { Verify } from '../options.js'
import { nameFrom } from '../../testing/rendezvous.js'
import { FakeConnection, rtcOf } from '../../testing/fake-connection.js'

const TERMS = { label: '', ordered: true }
const OFFER = { type: 'offer', sdp: 'theirs', restart: true, ...TERMS } as const
const lineOf = (byte: string): string =>
  `a=fingerprint:sha-256 ${Array.from({ length: 32 }, () => byte).join(':')}`
const PROVEN = { ...OFFER, sdp: `theirs\r\n${lineOf('CD')}` }
const THEIR_CANDIDATE = 'candidate:9 1 udp 1 192.0.2.9 5009 typ host'

/** One side of a handshake, with a connection that can restart ICE. */
class Side {
  readonly clock = new FakeClock()
  readonly connection = new FakeConnection()
  readonly sent: HandshakeSignal[] = []
  readonly ends: HandshakeEnd[] = []
  opened = 0
  readonly handshake: Handshake

  constructor(polite: boolean, verify?: Verify) {
    this.connection.lines = `\r\n${lineOf('AB')}`
    const ends = { local: nameFrom('alice'), remote: nameFrom('bob') }
    this.handshake = new Handshake({
      id: '1',
      polite,
      terms: TERMS,
      clock: this.clock,
      relayOnly: false,
      holdCandidates: false,
      texts: stageTexts,
      verifier: verify && { verify, ...ends, onError: () => undefined },
      prepare: () => Promise.resolve({ connection: rtcOf(this.connection) }),
      send: (signal) => Promise.resolve(void this.sent.push(signal)),
      onEvent: (event) => {
        if (event.type === 'open') this.opened++
        if (event.type === 'end') this.ends.push(event)
      },
    })
  }

  /** A side that was called, has answered, and has an open channel. */
  static async open(polite: boolean): Promise<Side> {
    const side = new Side(polite)
    side.handshake.answer(OFFER, Promise.resolve(undefined))
    await side.settle()
    side.connection.open()
    expect(side.opened).toBe(1)
    expect(side.take()).toEqual(['answer', 'candidates'])
    return side
  }

  async receive(signal: HandshakeSignal): Promise<void> {
    this.handshake.receive(signal)
    await this.settle()
  }

  async settle(): Promise<void> {
    await this.clock.advance(0)
  }

  /** The types of the signals sent since the last call. */
  take(): string[] {
    return this.sent.splice(0).map(({ type }) => type)
  }
}

describe('an ICE restart', () => {
  it('[PP2] [PP13] sends its candidates, however many restarts the other side has asked for', async () => {
    const side = await Side.open(true)
    for (let restart = 0; restart < 30; restart++) {
      await side.receive(OFFER)
      expect(side.take()).toEqual(['answer', 'candidates'])
    }
  })

  it('[PP13] goes by the offer of the impolite side when both offer at once', async () => {
    const [impolite, polite] = [await Side.open(false), await Side.open(true)]
    for (const side of [impolite, polite]) {
      side.connection.lose()
      await side.settle()
      expect(side.take()).toEqual(['offer', 'candidates'])
      await side.receive(OFFER)
    }
    expect(impolite.take()).toEqual([])
    expect(polite.take()).toEqual(['answer', 'candidates'])
    expect(impolite.ends.concat(polite.ends)).toEqual([])
  })

  it('[PP13] ignores the candidates of an offer that lost the glare', async () => {
    const side = await Side.open(false)
    side.connection.lose()
    await side.settle()
    await side.receive(OFFER)
    await side.receive({ type: 'candidates', candidates: ['candidate:8 1 udp 1 192.0.2.8 5008 typ host'] })
    await side.receive({ type: 'answer', sdp: 'theirs', restart: true })
    await side.receive({ type: 'candidates', candidates: [THEIR_CANDIDATE] })
    expect(side.connection.added).toEqual([THEIR_CANDIDATE])
  })
})

describe('a channel that is being closed', () => {
  it('[PP34] may restart ICE to send the rest, and without a path it ends as closed, not as lost', async () => {
    const side = await Side.open(true)
    side.handshake.markClosed()
    side.connection.lose()
    await side.settle()
    expect(side.take()).toEqual(['offer', 'candidates'])
    await side.clock.advance(15_000)
    expect(side.sent).toEqual([{ type: 'end', reason: 'closed' }])
    expect(side.ends).toMatchObject([{ lost: false, forGood: true }])
  })

  it('[PP34] ends as closed, not as lost, when the other side gives up the path', async () => {
    const side = await Side.open(true)
    side.handshake.markClosed()
    await side.receive({ type: 'end', reason: 'ended' })
    expect(side.ends).toMatchObject([{ lost: false, forGood: true }])
  })

  it('[PP34] ends as closed when the other side says so by a signal', async () => {
    const side = await Side.open(true)
    await side.receive({ type: 'end', reason: 'closed' })
    expect(side.ends).toMatchObject([{ lost: false, forGood: true }])
  })

  it('[PP18] tells the other side by a signal: at once without a path, else after 2 s without a goodbye', async () => {
    const [cut, silent] = [await Side.open(true), await Side.open(true)]
    cut.connection.connectionState = 'disconnected'
    cut.handshake.close('closed here')
    silent.handshake.close('closed here')
    expect([cut.take(), silent.take()]).toEqual([['end'], []])
    expect(silent.connection.connectionState).toBe('connected')
    await Promise.all([cut, silent].map((side) => side.clock.advance(2_000)))
    expect([cut.take(), silent.take()]).toEqual([[], ['end']])
    expect([cut, silent].map((side) => side.connection.connectionState)).toEqual(['closed', 'closed'])
  })
})

describe('a stack that does not close its streams', () => {
  it('[PP35] ends the handshake by the state of its connection', async () => {
    const side = await Side.open(true)
    side.connection.close()
    side.connection.dispatchEvent(new Event('connectionstatechange'))
    expect(side.ends).toMatchObject([{ lost: true, detail: 'the path was lost' }])
  })
})

describe('a hostile peer', () => {
  it('[PP4] cannot pile up signals while the application decides about its call', async () => {
    const side = new Side(true)
    side.handshake.answer(OFFER, new Promise(() => {}))
    for (let i = 0; i < 200; i++) side.handshake.receive({ type: 'candidates', candidates: [] })
    expect(side.ends).toEqual([])
    side.handshake.receive({ type: 'candidates', candidates: [] })
    expect(side.ends).toMatchObject([{ detail: 'too many candidates' }])
  })
})

describe('a later description', () => {
  it.each([
    ['another fingerprint', `theirs\r\n${lineOf('EF')}`],
    ['no fingerprint', 'theirs'],
    ['two fingerprints', `theirs\r\n${lineOf('CD')}\r\n${lineOf('EF')}`],
  ])('[PP42] with %s ends the handshake, and the stack does not get it', async (_, sdp) => {
    const side = new Side(true)
    side.handshake.answer(PROVEN, Promise.resolve(undefined))
    await side.settle()
    side.connection.open()
    await side.receive(PROVEN)
    expect(side.ends).toEqual([])
    const before = side.connection.remote.length
    await side.receive({ ...PROVEN, sdp })
    expect(side.ends).toMatchObject([{ detail: 'the other peer changed its certificate' }])
    expect(side.connection.remote).toHaveLength(before)
  })
})

describe('a verification', () => {
  /** A side that has answered, and whose `verify` the test settles. */
  async function verifying(): Promise<{ side: Side; answer: (value: boolean) => void }> {
    let answer: (value: boolean) => void = () => undefined
    const side = new Side(true, () => new Promise((resolve) => (answer = resolve)))
    side.handshake.answer(PROVEN, Promise.resolve(undefined))
    await side.settle()
    side.connection.open()
    await side.settle()
    side.take()
    return { side, answer: (value) => answer(value) }
  }

  it('[PP43] opens the channel when both sides have said yes', async () => {
    const { side, answer } = await verifying()
    expect([side.opened, side.handshake.stage, side.handshake.isOpen]).toEqual([0, 'not-verified', false])
    answer(true)
    await side.settle()
    expect(side.opened).toBe(0)
    side.connection.streams[0]?.hear('{"type":"verified"}')
    await side.settle()
    expect([side.opened, side.handshake.isOpen]).toEqual([1, true])
  })

  it('[PP44] tells the other side that it failed, and closes the connection afterwards', async () => {
    const { side, answer } = await verifying()
    answer(false)
    await side.settle()
    expect(side.sent).toEqual([{ type: 'end', reason: 'not-verified' }])
    expect(side.ends).toMatchObject([{ stage: 'not-verified', lost: false, forGood: false }])
    expect(side.connection.connectionState).toBe('closed')
  })

  it('[PP44] fails when the other side says that it failed, also before the streams are open', async () => {
    const early = new Side(true, async () => true)
    early.handshake.answer(PROVEN, Promise.resolve(undefined))
    await early.settle()
    for (const side of [early, (await verifying()).side]) {
      await side.receive({ type: 'end', reason: 'not-verified' })
      expect(side.ends).toMatchObject([{ stage: 'not-verified', lost: false, forGood: false }])
    }
  })

  it('[PP44] of the other side ends an open channel for good', async () => {
    const side = await Side.open(true)
    await side.receive({ type: 'end', reason: 'not-verified' })
    expect(side.ends).toMatchObject([{ stage: 'not-verified', lost: false, forGood: true }])
  })

  it.each(['failed', 'closed'] as const)('[PP44] ends as `ice` when its connection has %s', async (state) => {
    const { side } = await verifying()
    side.connection.connectionState = state
    side.connection.dispatchEvent(new Event('connectionstatechange'))
    await side.settle()
    expect(side.ends).toMatchObject([{ stage: 'ice', lost: false, forGood: false }])
  })

  it('[PP43] is over at once when a new offer replaces its handshake', async () => {
    const { side, answer } = await verifying()
    side.handshake.close('replaced by a new one')
    answer(true)
    side.connection.streams[0]?.hear('{"type":"verified"}')
    await side.settle()
    expect([side.opened, side.sent, side.connection.connectionState]).toEqual([0, [], 'closed'])
  })
})
