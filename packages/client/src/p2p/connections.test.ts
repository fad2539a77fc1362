import wrtc from '@roamhq/wrtc'
import { RTCPeerConnection as Werift } from 'werift'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { aPeerConnectionClass } from '../lib/check.js'
import { Connections, givenClass } from './connections.js'
import type { P2POptions, PeerConnectionClass } from './options.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeConnection } from '../testing/fake-connection.js'
import { platform } from '../testing/platform.js'

const PLAIN = { label: '', ordered: true }

let clock: FakeClock
let made: FakeConnection[]
let iceServers: RTCIceServer[]
const errors: unknown[] = []

class Browser extends FakeConnection {
  constructor(configuration: RTCConfiguration) {
    super(configuration)
    made.push(this)
  }
}

beforeEach(() => {
  clock = new FakeClock()
  made = []
  iceServers = [{ urls: 'stun:192.0.2.1:9001' }]
})
afterEach(() => {
  vi.unstubAllGlobals()
  expect(errors).toEqual([])
})

function connections(PeerConnection?: PeerConnectionClass): Connections {
  const ice = {
    current: () => Promise.resolve(iceServers),
    keepFresh: () => undefined,
    close: () => undefined,
  }
  const context = { clock, platform, onError: (error: unknown) => errors.push(error) }
  return new Connections(context, ice, { RTCPeerConnection: PeerConnection })
}

describe('[PP26] in a browser, a connection is made ahead', () => {
  beforeEach(() => vi.stubGlobal('RTCPeerConnection', Browser))

  it('with its streams and its offer, and another one after it was taken', async () => {
    const source = connections()
    await clock.advance(100)
    expect(made).toHaveLength(1)
    const { connection, streams, offer } = await source.take(PLAIN)
    expect(connection).toBe(made[0])
    expect(made[0]?.streams).toHaveLength(2)
    expect(streams).toBeDefined()
    expect(offer).toEqual({ type: 'offer', sdp: 'offer 0' })
    expect(made[0]?.localDescription).toBe(null)
    await clock.advance(100)
    expect(made).toHaveLength(2)
    expect((await source.take(PLAIN)).connection).toBe(made[1])
  })

  it('and earlier calls get a connection of their own', async () => {
    const source = connections()
    const [first, second] = await Promise.all([source.take(PLAIN), source.take(PLAIN)])
    expect(made).toEqual([first.connection, second.connection])
    expect(first.offer).toBe(undefined)
    await clock.advance(1000)
    expect(made).toHaveLength(3)
  })

  it('but not used for a channel of other terms; the next one has those terms', async () => {
    const source = connections()
    await clock.advance(100)
    const lossy = { ...PLAIN, maxRetransmits: 0 }
    const first = await source.take(lossy)
    expect(made).toEqual([expect.objectContaining({ connectionState: 'closed' }), first.connection])
    expect(first.offer).toBe(undefined)
    await clock.advance(100)
    const second = await source.take(lossy)
    expect(made.slice(2)).toEqual([second.connection])
    expect(second.offer).toBeDefined()
  })

  it('but not used after the ICE servers have changed', async () => {
    const source = connections()
    await clock.advance(100)
    iceServers = [{ urls: 'turn:192.0.2.1:3478', username: 'fresh', credential: 'secret' }]
    const { connection } = await source.take(PLAIN)
    expect(made[0]?.connectionState).toBe('closed')
    expect(connection.getConfiguration()).toEqual({ iceServers, iceTransportPolicy: 'all' })
  })

  it('and closed when the peer is closed', async () => {
    const source = connections()
    await clock.advance(100)
    source.close()
    expect(made[0]?.connectionState).toBe('closed')
    await clock.advance(1000)
    expect(made).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })
})

it('[PP26] no connection is made ahead in Node, or of a class that the application passed in', async () => {
  const unused = vi.fn()
  connections()
  connections(unused)
  vi.stubGlobal('RTCPeerConnection', unused)
  connections(unused)
  await clock.advance(1000)
  expect(unused).not.toHaveBeenCalled()
})

// This tests the types: the option accepts werift's class, although TypeScript does not see it as an RTCPeerConnection.
it('the option RTCPeerConnection accepts the classes of werift and @roamhq/wrtc without a cast', () => {
  const options: P2POptions[] = [{ RTCPeerConnection: Werift }, { RTCPeerConnection: wrtc.RTCPeerConnection }]
  for (const { RTCPeerConnection } of options) {
    expect(givenClass(RTCPeerConnection)).toBe(RTCPeerConnection)
    expect(aPeerConnectionClass.is(RTCPeerConnection)).toBe(true)
  }
  // @ts-expect-error this class makes no channels
  const wrong: P2POptions = { RTCPeerConnection: Date }
  expect(wrong).toBeDefined()
})
