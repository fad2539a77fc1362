import { afterEach, describe, expect, it, vi } from 'vitest'
import { Connections } from './connections.js'
import { relayProblem } from './relay-only.js'
import type { PeerConnectionClass } from './options.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { platform } from '../testing/platform.js'
import { nodePeerConnection } from '../testing/controllers.js'
import { Rendezvous } from '../testing/rendezvous.js'
import { createP2P } from './p2p.js'

const TURN = [{ urls: ['turns:a.example'], username: 'u', credential: 'c' }]

class Unknown {
  close(): void {}
}

/** A class with the members by which werift's class is recognized. */
class Werift {
  get dtlsTransports(): unknown[] {
    return []
  }
  get iceTransports(): unknown[] {
    return []
  }
}

/** A class made like the one of @roamhq/wrtc, which uses util.inherits. */
function wrtc(): PeerConnectionClass {
  class RTCPeerConnection extends Unknown {}
  return Object.assign(RTCPeerConnection, { super_: EventTarget }) as never
}

afterEach(() => vi.unstubAllGlobals())

describe('[PP15] relayOnly', () => {
  it('is kept by werift and @roamhq/wrtc, and by classes that extend theirs', () => {
    for (const known of [Werift as never, wrtc()] as PeerConnectionClass[]) {
      expect(relayProblem(known, TURN)).toBe(undefined)
      expect(relayProblem(class extends known {}, TURN)).toBe(undefined)
    }
  })

  it('is refused for node-datachannel, and for unknown classes in Node', async () => {
    const adapted = await nodePeerConnection()
    const raw = (await import('node-datachannel/polyfill')).RTCPeerConnection as never
    for (const leaky of [adapted, raw, class extends adapted {}, Unknown as never])
      expect(relayProblem(leaky, TURN)).toMatch(/^relayOnly cannot be kept .*pass p2p\.RTCPeerConnection/)
  })

  it('is kept by browsers', () => {
    vi.stubGlobal('document', {})
    // Electron has Node's objects, too. The class of a polyfill is not native code.
    const native = Unknown.bind(undefined) as never
    expect(relayProblem(native, TURN)).toBe(undefined)
    expect(relayProblem(Unknown as never, TURN)).toMatch(/cannot be kept/)
    vi.stubGlobal('process', undefined)
    expect(relayProblem(Unknown as never, TURN)).toBe(undefined)
  })

  it('needs a TURN server, and says so at once', () => {
    expect(relayProblem(Werift as never, [])).toMatch(/^relayOnly needs a TURN server.*p2p\.turn\.urls/)
    expect(relayProblem(Werift as never, [{ urls: 'stun:a.example' }])).toMatch(/needs a TURN server/)
  })

  it('is checked for every connection that is made', async () => {
    const made: unknown[] = []
    class Counted extends Werift {
      constructor(configuration: RTCConfiguration) {
        super()
        made.push(configuration.iceTransportPolicy)
      }
    }
    let iceServers: RTCIceServer[] = []
    const ice = {
      current: () => Promise.resolve(iceServers),
      keepFresh: () => undefined,
      close: () => undefined,
    }
    const context = { clock: new FakeClock(), platform, onError: () => undefined }
    const connections = new Connections(context, ice, {
      relayOnly: true,
      RTCPeerConnection: Counted as never,
    })
    const terms = { label: '', ordered: true }
    expect(await connections.problem()).toMatch(/needs a TURN server/)
    await expect(connections.take(terms)).rejects.toThrow('needs a TURN server')
    expect(made).toEqual([])
    iceServers = TURN
    expect(await connections.problem()).toBe(undefined)
    await connections.take(terms)
    expect(made).toEqual(['relay'])
  })

  it('is not checked when it is off', async () => {
    const ice = { current: () => Promise.resolve([]), keepFresh: () => undefined, close: () => undefined }
    const context = { clock: new FakeClock(), platform, onError: () => undefined }
    expect(await new Connections(context, ice, {}).problem()).toBe(undefined)
  })

  it('sends no request to the node when a call fails for another reason', async () => {
    const tier = new Rendezvous()
    const clock = new FakeClock()
    const context = tier.context('alice', { clock, requestTurn: () => new Promise(() => undefined) })
    const turn = { urls: ['turns:a.example'], username: 'u', credential: 'c', ttlMs: 1_000 }
    const welcome = { ...context.welcome, p2p: { server: null, turn } }
    const p2p = createP2P({ ...context, welcome }, undefined, {
      relayOnly: true,
      RTCPeerConnection: Werift as never,
    })
    // The credentials have expired.
    await clock.advance(2_000)
    await expect(p2p?.connect('bob', { signal: AbortSignal.abort('why') })).rejects.toBe('why')
    await expect(p2p?.connect('')).rejects.toMatchObject({ code: 'bad-name' })
    await expect(p2p?.connect('alice')).rejects.toMatchObject({ stage: 'not-found' })
    await p2p?.close()
    await expect(p2p?.connect('bob')).rejects.toMatchObject({ code: 'closed' })
  }, 2_000)
})
