import { afterEach, describe, expect, it } from 'vitest'
import { Controllers, nodePeerConnection, opened, received } from '../testing/controllers.js'
import { Rendezvous } from '../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())

describe('streams', () => {
  it('make a channel although they open before setRemoteDescription has resolved', async () => {
    const PeerConnection = await nodePeerConnection()
    let made = 0
    let opens = 0
    class Late extends PeerConnection {
      readonly #isLate = made++ === 0
      readonly #open: Promise<unknown>[] = []
      override createDataChannel(label: string, options: RTCDataChannelInit = {}): RTCDataChannel {
        const stream = super.createDataChannel(label, options)
        stream.addEventListener('open', () => opens++)
        this.#open.push(new Promise((resolve) => stream.addEventListener('open', resolve)))
        return stream
      }
      override async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
        await super.setRemoteDescription(description)
        if (this.#isLate) await Promise.all(this.#open)
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Late })
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const text = received(await theirs)
    await channel.send('hello')
    expect(await text).toBe('hello')
    // Only one connection has opened its streams. A second one (PP11) used to come after 4 s and close the first, which
    // was open on the other side. A handshake that libdatachannel lost and that was repeated has opened no stream.
    expect(opens).toBe(2)
  })

  it('[PP20] keep messages that arrive over one of them while the other is still opening', async () => {
    const PeerConnection = await nodePeerConnection()
    let isHeard = false
    let frames: RTCDataChannel | undefined
    class Uneven extends PeerConnection {
      override createDataChannel(label: string, options: RTCDataChannelInit = {}): RTCDataChannel {
        const stream = super.createDataChannel(label, options)
        if (options.id === 0) {
          frames = stream
          const state = { get: () => (isHeard ? 'open' : 'connecting') }
          Object.defineProperty(stream, 'readyState', state)
        } else
          stream.addEventListener('message', () => {
            isHeard = true
            queueMicrotask(() => frames?.dispatchEvent(new Event('open')))
          })
        return stream
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob', { RTCPeerConnection: Uneven })
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    await channel.send('early')
    expect(await received(await theirs)).toBe('early')
  })
})
