import { afterEach, describe, expect, it } from 'vitest'
import { createP2P } from './p2p.js'
import { loadNodeDataChannel } from './rtc-node.js'
import type { PeerConnectionClass } from './rtc.js'
import { Controllers, closed, failure, opened, received } from './testing/controllers.js'
import type { Carrier, P2PContext } from './signaling.js'
import { Rendezvous, nameFrom, seeded } from './testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())

async function nodePeerConnection(): Promise<PeerConnectionClass> {
  const found = await loadNodeDataChannel()
  if (found === undefined) throw new Error('node-datachannel is not installed')
  return found
}

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

  it('[P5] reuses the open channel and the attempt under way', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    const [first, second] = await Promise.all([alice.connect('bob'), alice.connect('bob')])
    expect(second).toBe(first)
    expect(await alice.connect('bob')).toBe(first)
    expect(alice.channels).toEqual([first])
  })

  it('[P7] opens one channel each time when both call in the same instant', async () => {
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
      alice.close()
      bob.close()
    }
    expect(counts).toEqual(Array.from({ length: 100 }, () => 2))
  }, 120_000)

  it('opens although signals overtake each other', async () => {
    const tier = new Rendezvous({ random: seeded(3), delayMs: 50, reorders: true })
    for (let round = 0; round < 20; round++) {
      const alice = controllers.make(tier, 'alice')
      const bob = controllers.make(tier, 'bob')
      await Promise.all([alice.connect('bob'), bob.connect('alice')])
      controllers.close()
    }
  }, 60_000)

  it('[P6] ends by its deadline, opened or failed, however many signals are lost', async () => {
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

  it('[P6] [P17] fails as not-found at once when nobody has the name', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const events: string[] = []
    alice.on('connect-failed', ({ stage }) => events.push(stage))
    const before = performance.now()
    const error = await failure(alice.connect('nobody'))
    expect(error).toMatchObject({ name: 'ConnectError', stage: 'not-found' })
    expect(performance.now() - before).toBeLessThan(1000)
    expect(events).toEqual(['not-found'])
    expect(alice.channels).toEqual([])
    expect(tier.reports).toMatchObject([{ by: 'alice', path: 'failed', stage: 'not-found' }])
  })

  it('refuses a name outside the grammar and its own', async () => {
    const alice = controllers.make(new Rendezvous(), 'alice')
    expect((await failure(alice.connect('a\nb'))).message).toContain('printable')
    expect((await failure(alice.connect('alice'))).message).toContain('this peer')
  })

  it('[P10] tells the caller that it was refused', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob', { accept: (from) => Promise.resolve(from !== 'alice') })
    const error = await failure(alice.connect('bob'))
    expect(error).toMatchObject({ stage: 'no-answer' })
    expect(error.message).toContain('refused')
  })

  it('[P21] tells the caller that P2P is off there', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    expect(createP2P(tier.context('bob'), undefined, false)).toBe(null)
    expect((await failure(alice.connect('bob'))).message).toContain('refused')
  })

  it('[P6] [P10] fails as no-answer at its deadline when the other side never decides', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob', { accept: () => new Promise(() => undefined) })
    expect(await failure(alice.connect('bob', { deadlineMs: 100 }))).toMatchObject({ stage: 'no-answer' })
  })

  it('[P12] ends with the reason of its AbortSignal, and the other side forgets it too', async () => {
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

  it('[P12] lets one caller give up while another goes on', async () => {
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

  it('[P11] tries once more, with a fresh connection, when it is connected and no channel opens', async () => {
    const PeerConnection = await nodePeerConnection()
    let made = 0
    class Stuck extends PeerConnection {
      readonly isStuck = made++ === 0
      override createDataChannel(label: string, options: RTCDataChannelInit = {}): RTCDataChannel {
        // The other side has no such stream, so this one's open event is kept from the handshake.
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
})

describe('channels', () => {
  it('[P9] takes the place of one that the other side has lost', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const before = controllers.make(tier, 'bob')
    const firstThere = opened(alice)
    const first = await before.connect('alice')
    const end = closed(await firstThere)
    // A reloaded page: the same name, no memory of the channel, and the old page's connection not yet gone.
    const after = controllers.make(tier, 'bob')
    const anew = opened(alice)
    const second = await after.connect('alice')
    expect(await end).toContain('replaced')
    const there = await anew
    expect(alice.channels).toEqual([there])
    const text = received(second)
    await there.send('still here')
    expect(await text).toBe('still here')
    expect(first.peer).toBe('alice')
  })

  it('[P8] opens when a reloaded peer calls although our own offer went to the page before', async () => {
    const tier = new Rendezvous()
    // 'bob' < 'carol': carol does not give way to bob's offer.
    const carol = controllers.make(tier, 'carol')
    controllers.make(tier, 'bob', { accept: () => new Promise(() => undefined) })
    const waiting = carol.connect('bob')
    await new Promise<void>((resolve) => setTimeout(resolve, 50))
    const reloaded = controllers.make(tier, 'bob')
    const channel = await reloaded.connect('carol')
    expect((await waiting).state).toBe('open')
    expect(channel.peer).toBe('carol')
  })

  it('[P5] are one per label, each with its own terms', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const first = opened(bob)
    const chat = await alice.connect('bob')
    await first
    const theirs = opened(bob)
    const game = await alice.connect('bob', { label: 'game', ordered: false, maxRetransmits: 0 })
    expect(await alice.connect('bob', { label: 'game' })).toBe(game)
    expect(game).not.toBe(chat)
    expect(game).toMatchObject({ label: 'game', ordered: false, reliable: false })
    expect(await theirs).toMatchObject({ label: 'game', ordered: false, reliable: false })
    expect(alice.channels).toHaveLength(2)
  })

  it('[P17] say how they fare', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const outcome = new Promise((resolve) => alice.on('outcome', resolve))
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const arrival = received(await theirs)
    await channel.send('one')
    await arrival
    // The path may be found before the candidates have come that tell whose address it leads to.
    await expect.poll(async () => (await channel.info()).sameLan).toBe(true)
    const info = await channel.info()
    expect(info).toMatchObject({ peer: 'bob', label: '', path: 'direct', messagesSent: 1 })
    expect(info.local).toMatchObject({
      type: expect.stringMatching(/^(host|prflx)$/),
      address: expect.any(String),
      port: expect.any(Number),
    })
    expect(info.lastMessageAt).toBeGreaterThanOrEqual(info.openedAt)
    expect(info.rttMs).toBeLessThan(1000)
    expect(alice.busy('bob')).toBe(false)
    expect(alice.busy('nobody')).toBe(null)
    expect(await outcome).toMatchObject({ peer: 'bob', path: 'direct' })
    // The caller alone reports, with the id that both sides' signals carry.
    const last = tier.sent.findLast(({ body }) => body.includes('"answer"'))
    expect(tier.reports).toMatchObject([{ by: 'alice', path: 'direct', handshake: last?.handshake }])
  })

  it('[P18] close on both sides, with everything sent before it, and say when the last is gone', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const there = await theirs
    let bytes = 0
    there.on('message', (data) => (bytes += data.length))
    const last = new Promise<void>((resolve) => bob.on('all-channels-closed', resolve))
    const end = closed(there)
    for (let i = 0; i < 80; i++) void channel.send(new Uint8Array(64 * 1024))
    await channel.close()
    await end
    await last
    expect(bytes).toBe(80 * 64 * 1024)
    expect(channel.state).toBe('closed')
    expect(alice.channels).toEqual([])
    expect((await failure(channel.send('late'))).message).toContain('closed')
  })

  it('[P14] live on when nobody can be reached through the tier any more', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const there = await theirs
    tier.leave('alice')
    tier.leave('bob')
    const text = received(there)
    await channel.send('still here')
    expect(await text).toBe('still here')
  })

  it('[P13] come back by themselves when their path is lost', async () => {
    const PeerConnection = await nodePeerConnection()
    class Losable extends PeerConnection {
      #isLost = false
      override get connectionState(): RTCPeerConnectionState {
        return this.#isLost ? 'failed' : super.connectionState
      }
      lose(): void {
        this.#isLost = true
        this.dispatchEvent(new Event('connectionstatechange'))
      }
    }
    const made: Losable[] = []
    class Kept extends Losable {
      constructor(configuration?: RTCConfiguration) {
        super(configuration)
        made.push(this)
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    // The side that was called notices: it tells the caller, which calls again.
    const bob = controllers.make(tier, 'bob', { RTCPeerConnection: Kept })
    const first = opened(bob)
    const channel = await alice.connect('bob')
    await first
    const again = Promise.all([opened(alice), opened(bob)])
    const end = closed(channel)
    made[0]?.lose()
    expect(await end).toContain('ended')
    const [ours, theirs] = await again
    const text = received(theirs)
    await ours.send('back')
    expect(await text).toBe('back')
    expect(alice.channels).toEqual([ours])
  })

  it('[P18] carry delivery frames beside the application and offer to carry until they close', async () => {
    const tier = new Rendezvous()
    const carriers: Carrier[] = []
    const frames: unknown[] = []
    let kicked = 0
    const spy = (own: Carrier[]): P2PContext['carriers'] => ({
      attach: (_, carrier) => {
        own.push(carrier)
        return () => own.splice(own.indexOf(carrier), 1)
      },
      kick: () => void kicked++,
      receive: (from, frame) => frames.push({ from: from.name, frame }) > 0,
    })
    const alice = controllers.make(tier, 'alice', {}, { carriers: spy(carriers) })
    const bob = controllers.make(tier, 'bob', {}, { carriers: spy([]) })
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const there = await theirs
    expect(carriers).toHaveLength(1)
    const ack = { type: 'ack', acks: [{ to: nameFrom('bob'), stream: 'abcdefghijk', next: 1 }] } as const
    expect(carriers[0]?.send({ ...ack, acks: [...ack.acks] })).toBe(true)
    await expect.poll(() => frames).toEqual([{ from: 'alice', frame: ack }])
    const large = { ...ack, acks: Array.from({ length: 2000 }, () => ack.acks[0]) }
    const carrier = carriers[0]
    while (carrier?.send(large) === true);
    expect(carrier?.send(large)).toBe('full')
    await expect.poll(() => kicked).toBeGreaterThan(0)
    expect(there.state).toBe('open')
    await channel.close()
    expect(carriers).toEqual([])
    expect(carrier?.send(large)).toBe(false)
  })

  it('[P20] keep what arrives until somebody listens', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    await channel.send('early')
    await channel.send('bird')
    const there = await theirs
    await expect.poll(async () => (await there.info()).messagesReceived).toBe(2)
    const heard: unknown[] = []
    there.on('message', (data) => heard.push(data))
    expect(heard).toEqual(['early', 'bird'])
  })
})

describe('what others learn', () => {
  it('[P16] is no address before the other side accepts, where candidates are held', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { holdCandidates: true })
    controllers.make(tier, 'bob', { accept: () => new Promise(() => undefined) })
    await failure(alice.connect('bob', { deadlineMs: 300 }))
    expect(tier.sent.filter(({ body }) => body.includes('candidate:'))).toEqual([])
    const carol = controllers.make(tier, 'carol')
    const theirs = opened(carol)
    await alice.connect('carol')
    await theirs
  })

  it('[P15] is no host or reflexive address with relayOnly', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { relayOnly: true })
    controllers.make(tier, 'bob')
    const error = await failure(alice.connect('bob', { deadlineMs: 1500 }))
    expect(error).toMatchObject({ stage: 'ice' })
    const mine = tier.sent.filter(({ from }) => from === 'alice')
    expect(mine.length).toBeGreaterThan(0)
    expect(mine.filter(({ body }) => /typ (host|srflx)|a=candidate/.test(body))).toEqual([])
  })
})
