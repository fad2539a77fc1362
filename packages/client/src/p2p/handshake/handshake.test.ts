import { describe, expect, it } from 'vitest'
import { Handshake } from './handshake.js'
import type { HandshakeEnd } from './handshake.js'
import type { HandshakeSignal } from './signals.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeConnection, rtcOf } from '../../testing/fake-connection.js'

const TERMS = { label: '', ordered: true }
const OFFER = { type: 'offer', sdp: 'theirs', restart: true, ...TERMS } as const
const THEIR_CANDIDATE = 'candidate:9 1 udp 1 192.0.2.9 5009 typ host'

/** One side of a handshake, over a connection that can restart ICE. */
class Side {
  readonly clock = new FakeClock()
  readonly connection = new FakeConnection()
  readonly sent: HandshakeSignal[] = []
  readonly ends: HandshakeEnd[] = []
  opened = 0
  readonly handshake: Handshake

  constructor(polite: boolean) {
    this.handshake = new Handshake({
      id: '1',
      polite,
      terms: TERMS,
      clock: this.clock,
      relayOnly: false,
      holdCandidates: false,
      prepare: () => Promise.resolve({ connection: rtcOf(this.connection) }),
      send: (signal) => Promise.resolve(void this.sent.push(signal)),
      onEvent: (event) => {
        if (event.type === 'open') this.opened++
        if (event.type === 'end') this.ends.push(event)
      },
    })
  }

  /** Called, answered, open. */
  static async open(polite: boolean): Promise<Side> {
    const side = new Side(polite)
    side.handshake.answer(OFFER, Promise.resolve(undefined))
    await side.settle()
    side.connection.open()
    expect(side.opened).toBe(1)
    expect(side.take()).toEqual(['answer', 'candidates'])
    return side
  }

  async hear(signal: HandshakeSignal): Promise<void> {
    this.handshake.receive(signal)
    await this.settle()
  }

  async settle(): Promise<void> {
    await this.clock.advance(0)
  }

  /** The types of what was sent since the last time. */
  take(): string[] {
    return this.sent.splice(0).map(({ type }) => type)
  }
}

describe('an ICE restart', () => {
  it('[PP2] [PP13] lets its candidates out however often the other side asked for one before', async () => {
    const side = await Side.open(true)
    for (let restart = 0; restart < 30; restart++) {
      await side.hear(OFFER)
      expect(side.take()).toEqual(['answer', 'candidates'])
    }
  })

  it('[PP13] is one, of the side that does not give way, when both offer at once', async () => {
    const [impolite, polite] = [await Side.open(false), await Side.open(true)]
    for (const side of [impolite, polite]) {
      side.connection.lose()
      await side.settle()
      expect(side.take()).toEqual(['offer', 'candidates'])
      await side.hear(OFFER)
    }
    expect(impolite.take()).toEqual([])
    expect(polite.take()).toEqual(['answer', 'candidates'])
    expect(impolite.ends.concat(polite.ends)).toEqual([])
  })

  it('[PP13] takes no candidates of an offer that lost the glare', async () => {
    const side = await Side.open(false)
    side.connection.lose()
    await side.settle()
    await side.hear(OFFER)
    await side.hear({ type: 'candidates', candidates: ['candidate:8 1 udp 1 192.0.2.8 5008 typ host'] })
    await side.hear({ type: 'answer', sdp: 'theirs', restart: true })
    await side.hear({ type: 'candidates', candidates: [THEIR_CANDIDATE] })
    expect(side.connection.added).toEqual([THEIR_CANDIDATE])
  })
})

describe('a channel that is being closed', () => {
  it('[PP34] may look for a path for what was sent, and without one is closed, not lost', async () => {
    const side = await Side.open(true)
    side.handshake.unwanted()
    side.connection.lose()
    await side.settle()
    expect(side.take()).toEqual(['offer', 'candidates'])
    await side.clock.advance(15_000)
    expect(side.sent).toEqual([{ type: 'end', reason: 'closed' }])
    expect(side.ends).toMatchObject([{ lost: false, final: true }])
  })

  it('[PP34] is closed, not lost, when the other side gives its path up', async () => {
    const side = await Side.open(true)
    side.handshake.unwanted()
    await side.hear({ type: 'end', reason: 'ended' })
    expect(side.ends).toMatchObject([{ lost: false, final: true }])
  })

  it('[PP34] is closed when the other side says so through the tier', async () => {
    const side = await Side.open(true)
    await side.hear({ type: 'end', reason: 'closed' })
    expect(side.ends).toMatchObject([{ lost: false, final: true }])
  })

  it('[PP18] tells the other side through the tier, at once without a path, else when no goodbye comes for 2 s', async () => {
    const [cut, deaf] = [await Side.open(true), await Side.open(true)]
    cut.connection.connectionState = 'disconnected'
    cut.handshake.close('closed here')
    deaf.handshake.close('closed here')
    expect([cut.take(), deaf.take()]).toEqual([['end'], []])
    expect(deaf.connection.connectionState).toBe('connected')
    await Promise.all([cut, deaf].map((side) => side.clock.advance(2_000)))
    expect([cut.take(), deaf.take()]).toEqual([[], ['end']])
    expect([cut, deaf].map((side) => side.connection.connectionState)).toEqual(['closed', 'closed'])
  })
})

describe('a stack that closes no stream', () => {
  it('[PP35] is heard by the state of its connection', async () => {
    const side = await Side.open(true)
    side.connection.close()
    side.connection.dispatchEvent(new Event('connectionstatechange'))
    expect(side.ends).toMatchObject([{ lost: true, detail: 'the path was lost' }])
  })
})

describe('a hostile peer', () => {
  it('[PP4] cannot pile up signals while the application makes up its mind', async () => {
    const side = new Side(true)
    side.handshake.answer(OFFER, new Promise(() => {}))
    for (let i = 0; i < 200; i++) side.handshake.receive({ type: 'candidates', candidates: [] })
    expect(side.ends).toEqual([])
    side.handshake.receive({ type: 'candidates', candidates: [] })
    expect(side.ends).toMatchObject([{ detail: 'too many candidates' }])
  })
})
