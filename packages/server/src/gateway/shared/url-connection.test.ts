import type { AnonymousSession, RoomText } from '@peerage/core'
import type { RoomId } from '@peerage/protocol'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from '../../testing/peerjs-fixture.js'
import { unlimited } from '../../testing/unlimited.js'
import type { WireFixture } from '../../testing/wire-fixture.js'
import { closeWires, sockets, startWire } from '../../testing/wire-fixture.js'
import { AnonymousConnection, AnonymousGateway } from './anonymous-gateway.js'
import type { Arrival, GatewayOptions } from './gateway.js'
import type { UrlHost } from './url-connection.js'

// A wire on which each frame that a peer sends comes back to it. The frame `say N` first pays for N members.

interface SayHost extends UrlHost {
  missed: string[]
}

class SayConnection extends AnonymousConnection<SayHost> {
  protected async receive(_: AnonymousSession, text: string): Promise<void> {
    const [verb, members] = text.split(' ')
    if (verb === 'say' && !(await this.paysToSay(Number(members), 1))) return
    this.write(text.slice(0, 20))
  }

  protected override encode({ text }: RoomText): string {
    return text
  }

  protected override missed(reason: string): void {
    this.host.missed.push(reason)
  }
}

class SayGateway extends AnonymousGateway<SayConnection> implements SayHost {
  missed: string[] = []
  readonly all: SayConnection[] = []

  constructor(options: GatewayOptions) {
    super(options, { wire: 'trystero', endpoint: { path: '/say', setting: 'path' }, ...sockets })
  }

  protected connectionOf(arrival: Arrival): SayConnection {
    const connection = new SayConnection(arrival, this)
    this.all.push(connection)
    return connection
  }
}

afterEach(closeWires)

/** A node on which a connection may spend 100 members a second on messages to rooms, and 200 at once. */
async function start(): Promise<WireFixture<SayGateway>> {
  const connection = { ...unlimited.connection, messagesPerSecond: 10 }
  return startWire((options) => new SayGateway(options), { limitValues: { ...unlimited, connection } })
}

async function entered(fixture: WireFixture<SayGateway>, autoPong = true): Promise<WirePeer> {
  const before = fixture.gateway.all.length
  const peer = fixture.connect('/say', { autoPong })
  await peer.opened()
  await eventually('in', () => fixture.gateway.all[before]?.session !== undefined)
  return peer
}

/** Sends a frame that costs four times what the peer has, and one that must wait until it has paid: 6 s. */
async function slowed(peer: WirePeer): Promise<void> {
  peer.send('say 800')
  peer.send('say 0')
  await peer.frame(1)
  await turns()
}

/** A frame of 60 KB. */
const LONG = `"${'x'.repeat(60_000)}"`
/** So many long frames are more than the half of what may wait. */
const UNREAD = 5

/** Sends as much as makes the node read the socket of a slowed peer no more. */
async function unread(peer: WirePeer): Promise<void> {
  for (let n = 0; n < UNREAD; n++) peer.send(LONG)
  await turns()
}

/** Lets time pass, so that the sockets are read meanwhile. */
async function passed({ clock }: WireFixture<SayGateway>, ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 500) {
    await turns()
    await clock.advance(Math.min(leftMs, 500))
  }
  await turns()
}

/** Lets the sockets of both sides be read. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
}

describe('a peer over its rates', () => {
  test('[UW5] is slowed: its frames wait, and arrive in order', async () => {
    const fixture = await start()
    const [peer, neighbour] = [await entered(fixture), await entered(fixture)]
    const sent = Array.from({ length: 60 }, (_, n) => `frame ${n}`)
    for (const frame of sent) peer.send(frame)
    await peer.frame(20)
    neighbour.send('served')
    await neighbour.frame(1)
    for (let second = 1; second < 4; second++) {
      await fixture.clock.advance(999)
      await turns()
      expect(peer.frames.length).toBeLessThanOrEqual(20 + 10 * second)
      await fixture.clock.advance(1)
    }
    await fixture.clock.advance(1_000)
    await peer.frame(60)
    expect(peer.frames).toEqual(sent)
    expect(fixture.seen).not.toContain('rejected rate-limited')
  })

  test('[UW5] is read until half of what may wait does, and then no more', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    await slowed(peer)
    peer.send('little')
    const pong = new Promise((resolve) => peer.socket.once('pong', resolve))
    peer.socket.ping()
    await pong
    // More than the buffers of both kernels hold.
    for (let n = 0; n < 400; n++) peer.send(LONG)
    await turns()
    expect(peer.socket.bufferedAmount).toBeGreaterThan(1_000_000)
    expect(fixture.seen).not.toContain('rejected too-many')
  })

  test('[UW5] whose socket is not read answers no ping, and is not taken for dead', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    await slowed(peer)
    await unread(peer)
    // The node pings after 1 s, and waits 5 s for the answer. Then the peer has paid, and its pong is still unread.
    await passed(fixture, 1_000)
    await fixture.clock.advance(5_000)
    await peer.frame(2 + UNREAD)
    await passed(fixture, 20_000)
    expect(peer.end).toBeUndefined()
  })

  test('[UW5] whose socket is not read for longer than a ping may take is not taken for dead', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    await fixture.clock.advance(900)
    await slowed(peer)
    await unread(peer)
    await passed(fixture, 6_000)
    await peer.frame(2 + UNREAD)
    expect(peer.end).toBeUndefined()
  })

  test('[UW8] is found by ping afterwards if it is half open', async () => {
    const fixture = await start()
    const peer = await entered(fixture, false)
    await slowed(peer)
    await unread(peer)
    await passed(fixture, 40_000)
    expect((await peer.ended()).code).toBe(1006)
  })

  test('[UW8] ends when it goes meanwhile, and leaves no timer', async () => {
    const fixture = await start()
    const before = fixture.clock.pending
    const peer = await entered(fixture)
    await slowed(peer)
    expect(fixture.clock.pending).toBe(before + 1)
    await peer.cut()
    await eventually('ended', () => fixture.gateway.connections === 0)
    expect(fixture.clock.pending).toBe(before)
  })

  test('[UW8] that goes while its socket is not read ends when it has paid', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    await slowed(peer)
    for (let n = 0; n < 20; n++) peer.send(LONG)
    await turns()
    await peer.cut()
    await passed(fixture, 7_000)
    await eventually('ended', () => fixture.gateway.connections === 0)
  })

  test('[UW8] is closed at once when the node drains', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    await slowed(peer)
    await unread(peer)
    await fixture.gateway.drain(100)
    expect((await peer.ended()).code).toBe(4000)
    await eventually('ended', () => fixture.gateway.connections === 0)
  })

  test('[UW5] is no slow consumer because the node leaves its pongs unread', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    // From its first pong on, the node waits for pongs.
    await passed(fixture, 2_000)
    await slowed(peer)
    const own = fixture.gateway.all[0]
    const long: RoomText = {
      type: 'published',
      room: 'default:trystero/r' as RoomId,
      text: 'x'.repeat(10_000),
      to: undefined,
      members: 1,
      sender: undefined,
    }
    for (let n = 0; n < UNREAD; n++) peer.send(LONG)
    // As much as a peer may leave unread.
    for (let n = 0; n < 14; n++) expect(own?.send(long)).toBe(true)
    await turns()
    for (let n = 0; n < 50; n++) {
      expect(own?.send(long)).toBe(true)
      await turns()
    }
    await peer.frame(1 + 64)
    await passed(fixture, 6_000)
    await peer.frame(1 + 64 + 1 + UNREAD)
    expect(own?.send(long)).toBe(true)
    await peer.frame(1 + 64 + 1 + UNREAD + 1)
    expect(fixture.gateway.missed).toEqual([])
  })

  test('[UW5] floods if it would wait for more than 10 s: the frame is dropped and counted', async () => {
    const fixture = await start()
    const peer = await entered(fixture)
    peer.send('say 2000')
    peer.send('say 1')
    await eventually('dropped', () => fixture.seen.includes('rejected rate-limited'))
    expect(fixture.gateway.missed).toEqual(['rate-limited'])
    // Meanwhile it is read slowly: one frame each 100 ms.
    for (let n = 0; n < 10; n++) peer.send('say 1')
    await turns()
    expect(fixture.gateway.missed).toHaveLength(1)
    await passed(fixture, 500)
    expect(fixture.gateway.missed).toHaveLength(6)
    await passed(fixture, 20_000)
    peer.send('later')
    await peer.until('the answer', () => peer.frames.at(-1) === 'later')
    expect(peer.end).toBeUndefined()
  })
})

describe('frames that wait for an earlier one', () => {
  test('[UW3] are no more than half of the bound, then the socket is not read', async () => {
    const fixture = await start()
    let go = (): void => {}
    const held = new Promise<void>((resolve) => (go = resolve))
    const peer = await entered(fixture)
    const own = fixture.gateway.all[0]
    if (own === undefined) throw new Error('the peer has not entered')
    own['receive'] = async (_, text) => {
      await held
      own.write(text.slice(0, 2))
    }
    const sent = Array.from({ length: 10 }, (_, n) => `"${n}${'x'.repeat(60_000)}"`)
    for (const frame of sent) peer.send(frame)
    await turns()
    expect(peer.end).toBeUndefined()
    go()
    await peer.frame(10)
    expect(peer.frames).toEqual(sent.map((frame) => frame.slice(0, 2)))
  })
})
