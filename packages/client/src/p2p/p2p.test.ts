import { afterEach, describe, expect, it } from 'vitest'
import { createP2P } from './p2p.js'
import { Controllers, failure, nodePeerConnection, opened, received } from '../testing/controllers.js'
import { Rendezvous, seeded } from '../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())

describe('connect', () => {
  it('opens a channel that carries text and bytes both ways', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const there = await theirs
    const text = received(there)
    await ours.send('hello')
    expect(await text).toBe('hello')
    const bytes = received(ours)
    await there.send(new Uint8Array([1, 2, 3]).subarray(1))
    expect(await bytes).toEqual(new Uint8Array([2, 3]))
    expect(tier.errors).toEqual([])
  })

  it('[PP5] returns the open channel, or joins the attempt under way', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    const [first, second] = await Promise.all([alice.connect('bob'), alice.connect('bob')])
    expect(second).toBe(first)
    expect(await alice.connect('bob')).toBe(first)
    expect(alice.channels).toEqual([first])
  })

  it('[PP5] opens a new channel while the old one is closing, and after it has closed', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const first = await alice.connect('bob')
    const again = new Promise<Awaited<ReturnType<typeof alice.connect>>>((resolve, reject) => {
      const stop = alice.on('channel-closed', () => {
        stop()
        alice.connect('bob').then(resolve, reject)
      })
    })
    const closed = first.close()
    expect(first.state).toBe('closing')
    const second = await alice.connect('bob')
    expect(second).not.toBe(first)
    expect(second.state).toBe('open')
    await closed
    expect(await again).toBe(second)
    expect(alice.channels).toEqual([second])
    const theirs = bob.channels[0] ?? (await opened(bob))
    const text = received(theirs)
    await second.send('hello')
    expect(await text).toBe('hello')
    expect(tier.errors).toEqual([])
  })

  it('opens a new channel when a listener of channel-closed calls it', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    const first = await alice.connect('bob')
    const again = new Promise<typeof first>((resolve, reject) => {
      const stop = alice.on('channel-closed', () => {
        stop()
        alice.connect('bob').then(resolve, reject)
      })
    })
    await first.close()
    const second = await again
    expect(second.state).toBe('open')
    expect(alice.channels).toEqual([second])
  })

  it('[PP7] opens exactly one channel when both sides call in the same instant', async () => {
    const tier = new Rendezvous({ random: seeded(7), delayMs: 20 })
    const counts: number[] = []
    for (let round = 0; round < 100; round++) {
      const alice = controllers.make(tier, 'alice')
      const bob = controllers.make(tier, 'bob')
      let events = 0
      for (const p2p of [alice, bob]) p2p.on('channel-opened', () => events++)
      const [ours, theirs] = await Promise.all([alice.connect('bob'), bob.connect('alice')])
      const text = received(theirs)
      await ours.send(`round ${round}`)
      expect(await text).toBe(`round ${round}`)
      counts.push(events)
      await Promise.all([alice.close(), bob.close()])
    }
    expect(counts).toEqual(Array.from({ length: 100 }, () => 2))
  }, 120_000)

  it('opens a channel although signals overtake each other', async () => {
    const tier = new Rendezvous({ random: seeded(3), delayMs: 50, reorders: true })
    const pairs = Array.from({ length: 20 }, async (_, index) => {
      const alice = controllers.make(tier, `alice${index}`)
      const bob = controllers.make(tier, `bob${index}`)
      const attempts = [alice.connect(`bob${index}`), bob.connect(`alice${index}`)]
      // Read each state as soon as its channel opens. One side may open a second later, and a late offer counts as a new
      // call, which would replace the channel.
      const states = await Promise.all(attempts.map(async (attempt) => (await attempt).state))
      expect(states).toEqual(['open', 'open'])
    })
    await Promise.all(pairs)
  }, 60_000)

  it('[PP6] ends by its deadline, opened or failed, however many signals are lost', async () => {
    const tier = new Rendezvous({ random: seeded(5), delayMs: 10, loss: 0.3 })
    const ends = await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        const alice = controllers.make(tier, `alice${index}`)
        controllers.make(tier, `bob${index}`)
        const before = performance.now()
        const end = await alice.connect(`bob${index}`, { deadlineMs: 3000 }).then(
          () => 'opened',
          (error: Error) => error.name,
        )
        return { end, inTime: performance.now() - before < 6000 }
      }),
    )
    expect(ends.filter(({ inTime }) => !inTime)).toEqual([])
    expect(new Set(ends.map(({ end }) => end))).toEqual(new Set(['opened', 'ConnectError']))
  }, 60_000)

  it('[PP6] [PP17] fails as not-found at once when nobody holds the name', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const events: string[] = []
    alice.on('connect-failed', ({ stage }) => events.push(stage))
    const before = performance.now()
    const error = await failure(alice.connect('nobody'))
    expect(error).toMatchObject({ name: 'ConnectError', stage: 'not-found' })
    expect(performance.now() - before).toBeLessThan(5_000)
    expect(events).toEqual(['not-found'])
    expect(alice.channels).toEqual([])
    expect(tier.reports).toMatchObject([{ by: 'alice', path: 'failed', stage: 'not-found' }])
  })

  it('[PP6] [WR13] fails as not-found, and says why, when the access rules forbid the name', async () => {
    const alice = controllers.make(
      new Rendezvous(),
      'alice',
      {},
      { signaling: { send: async () => 'forbidden', onSignal: () => () => {} } },
    )
    const error = await failure(alice.connect('bob'))
    expect(error).toMatchObject({
      name: 'ConnectError',
      stage: 'not-found',
      message: expect.stringContaining('the access rules do not allow'),
    })
  })

  it("refuses an invalid name, and this peer's own name", async () => {
    const alice = controllers.make(new Rendezvous(), 'alice')
    const failed: unknown[] = []
    alice.on('connect-failed', (error) => failed.push(error))
    expect(await failure(alice.connect('a\nb'))).toMatchObject({
      code: 'bad-name',
      message: expect.stringMatching(/^to must be printable: .*; it is "a\\nb"$/),
    })
    expect(failed).toEqual([])
    expect((await failure(alice.connect('alice'))).message).toContain('to itself')
  })

  it('[PP10] tells the caller that it was refused', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob', { accept: (from) => Promise.resolve(from !== 'alice') })
    const error = await failure(alice.connect('bob'))
    expect(error).toMatchObject({ stage: 'no-answer' })
    expect(error.message).toContain('refused')
  })

  // Regression: an `accept` that returned no value accepted every peer.
  it('[PP10] refuses the call, and reports an error, when accept returns no boolean', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const accept = (): boolean => undefined as never
    controllers.make(tier, 'bob', { accept })
    expect((await failure(alice.connect('bob'))).message).toContain('refused')
    expect(tier.errors.map(String)).toEqual([
      'TypeError: what `accept` returns must be true or false; it is undefined',
    ])
  })

  // This promise used to stay pending for ever.
  it('[PP6] fails when this peer is closed while the call waits for an older channel to close', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    const first = await alice.connect('bob')
    void first.close()
    const second = failure(alice.connect('bob'))
    void alice.close()
    expect(await second).toMatchObject({ name: 'ConnectError', message: expect.stringContaining('closed') })
  })

  // It used to fail with the stage `not-found`.
  it('rejects with the code `closed` after the controller is closed, without an event', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const failed: unknown[] = []
    alice.on('connect-failed', (error) => failed.push(error))
    await alice.close()
    expect(await failure(alice.connect('bob'))).toMatchObject({
      name: 'PeerageError',
      code: 'closed',
      message: expect.stringContaining('`connect` of the SDK makes a new peer'),
    })
    expect([failed, tier.sent]).toEqual([[], []])
  })

  it('[PP36] tells the caller that the other peer has no WebRTC', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const findPeerConnection = (): Promise<never> => Promise.reject(new Error('no WebRTC here'))
    const bob = controllers.make(tier, 'bob', {}, { platform: { findPeerConnection } })
    expect(await failure(alice.connect('bob'))).toMatchObject({
      stage: 'no-answer',
      message: expect.stringContaining('the other peer has no WebRTC'),
    })
    // A caller without WebRTC gets a different error text.
    expect((await failure(bob.connect('alice'))).message).toContain('no WebRTC here')
    expect(tier.errors).toEqual([])
  })

  it('[PP21] tells the caller that it was refused when P2P is off at the other peer', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    expect(createP2P(tier.context('bob'), undefined, false)).toBe(null)
    expect((await failure(alice.connect('bob'))).message).toContain('refused')
  })

  it('[PP6] [PP10] fails as no-answer at its deadline when the other side never decides', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob', { accept: () => new Promise(() => undefined) })
    expect(await failure(alice.connect('bob', { deadlineMs: 100 }))).toMatchObject({ stage: 'no-answer' })
  })

  it('[PP12] rejects with the reason of its AbortSignal, and tells the other side', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    let asked: () => void
    const asking = new Promise<void>((resolve) => (asked = resolve))
    const bob = controllers.make(tier, 'bob', { accept: () => new Promise(() => asked()) })
    const abort = new AbortController()
    const attempt = alice.connect('bob', { signal: abort.signal })
    await asking
    abort.abort(new Error('enough'))
    expect((await failure(attempt)).message).toBe('enough')
    expect((await failure(alice.connect('bob', { signal: abort.signal }))).message).toBe('enough')
    expect(bob.channels).toEqual([])
    expect(tier.sent.at(-1)).toMatchObject({ from: 'alice', body: expect.stringContaining('"end"') })
  })

  it('[PP12] goes on for a second caller when the first one gives up', async () => {
    const tier = new Rendezvous({ delayMs: 30 })
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    const abort = new AbortController()
    const first = failure(alice.connect('bob', { signal: abort.signal }))
    const second = alice.connect('bob')
    abort.abort(new Error('enough'))
    expect((await first).message).toBe('enough')
    expect((await second).peer).toBe('bob')
  })

  it('[PP11] tries once more, with a new connection, when ICE has connected and no channel opens', async () => {
    const PeerConnection = await nodePeerConnection()
    let made = 0
    class Stuck extends PeerConnection {
      readonly isStuck = made++ === 0
      override createDataChannel(label: string, options: RTCDataChannelInit = {}): RTCDataChannel {
        // On the first connection the handshake never gets the event that a stream has opened.
        const stream = super.createDataChannel(label, options)
        if (this.isStuck) stream.addEventListener('open', (event) => event.stopImmediatePropagation())
        return stream
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Stuck })
    controllers.make(tier, 'bob')
    const channel = await alice.connect('bob')
    expect(channel.state).toBe('open')
    expect(made).toBe(2)
    const ids = tier.sent.filter(({ body }) => body.includes('"offer"')).map(({ handshake }) => handshake)
    expect(new Set(ids).size).toBe(2)
  }, 20_000)

  it('[PP11] tries once more when the connection fails before setRemoteDescription has resolved', async () => {
    const PeerConnection = await nodePeerConnection()
    let made = 0
    class Failing extends PeerConnection {
      readonly #isFirst = made++ === 0
      #failed = false
      override get connectionState(): RTCPeerConnectionState {
        return this.#failed ? 'failed' : super.connectionState
      }
      override async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
        this.#failed = this.#isFirst
        if (this.#failed) this.dispatchEvent(new Event('connectionstatechange'))
        await super.setRemoteDescription(description)
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Failing })
    controllers.make(tier, 'bob')
    expect((await alice.connect('bob')).state).toBe('open')
    expect(made).toBe(2)
  })
})
