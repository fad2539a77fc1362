import { afterEach, describe, expect, it, vi } from 'vitest'
import { Controllers, closed, failure, nodePeerConnection, opened, received } from '../testing/controllers.js'
import type { Carrier } from '../delivery/signaling.js'
import type { P2PContext } from './options.js'
import { Rendezvous, nameFrom } from '../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())

describe('channels', () => {
  it('[WD16] report an error of the stage `listener` when a listener of a channel or the controller throws', async () => {
    const tier = new Rendezvous()
    const errors: unknown[] = []
    const onError = (error: unknown, stage?: string): void => void errors.push([String(error), stage])
    const alice = controllers.make(tier, 'alice', {}, { onError })
    const bob = controllers.make(tier, 'bob')
    alice.on('channel-opened', (channel) => {
      channel.on('message', () => {
        throw new Error('message')
      })
      throw new Error('opened')
    })
    const [, channel] = await Promise.all([opened(alice), bob.connect('alice')])
    await channel.send('hello')
    await vi.waitFor(() => expect(errors).toHaveLength(2))
    expect(errors).toEqual([
      ['Error: opened', 'listener'],
      ['Error: message', 'listener'],
    ])
  })

  it('[PP9] are replaced when the other side has lost its channel and calls again', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const before = controllers.make(tier, 'bob')
    const firstThere = opened(alice)
    const first = await before.connect('alice')
    const end = closed(await firstThere)
    // A reloaded page has the same name and does not know the channel, and the old page's connection is still open.
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

  // Regression: the listener's call continued beside the accepted one, and its connection was never closed.
  it('[PP9] are shared: a listener that calls when the old channel closes gets the new one', async () => {
    const tier = new Rendezvous()
    const PeerConnection = await nodePeerConnection()
    const isClosed: boolean[] = []
    class Counted extends PeerConnection {
      readonly #index = isClosed.push(false) - 1
      override close(): void {
        isClosed[this.#index] = true
        super.close()
      }
    }
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Counted })
    const first = opened(alice)
    await controllers.make(tier, 'bob').connect('alice')
    await first
    const called = new Promise((resolve) => {
      const stop = alice.on('channel-closed', () => {
        stop()
        resolve(alice.connect('bob'))
      })
    })
    const anew = opened(alice)
    await controllers.make(tier, 'bob').connect('alice')
    expect(await called).toBe(await anew)
    await alice.close()
    await expect.poll(() => isClosed).not.toContain(false)
  })

  it('[PP8] open when a reloaded page calls, although our own offer went to the page before the reload', async () => {
    const tier = new Rendezvous()
    // 'bob' < 'carol', so bob is the polite peer and carol does not give way to his offer.
    const carol = controllers.make(tier, 'carol')
    controllers.make(tier, 'bob', { accept: () => new Promise(() => undefined) })
    const waiting = carol.connect('bob')
    await new Promise<void>((resolve) => setTimeout(resolve, 50))
    const reloaded = controllers.make(tier, 'bob')
    const channel = await reloaded.connect('carol')
    expect((await waiting).state).toBe('open')
    expect(channel.peer).toBe('carol')
  })

  it('[PP5] are separate for each label, with their own terms', async () => {
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

  it('[PP17] tell their path and their counts, and the caller reports the outcome', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const outcome = new Promise((resolve) => alice.on('outcome', resolve))
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const arrival = received(await theirs)
    await channel.send('one')
    await arrival
    // ICE may find the path before the candidate with its address has arrived.
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
    // Only the caller reports, with the id that the signals of both sides carry.
    const last = tier.sent.findLast(({ body }) => body.includes('"answer"'))
    expect(tier.reports).toMatchObject([{ by: 'alice', path: 'direct', handshake: last?.handshake }])
  })

  it('[PP18] close on both sides after everything has arrived, and the last one fires all-channels-closed', async () => {
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
    expect(await failure(channel.send('late'))).toMatchObject({
      name: 'PeerageError',
      code: 'closed',
      message: 'the channel is closed; `peer.p2p.connect` opens another',
    })
  })

  it('[PP14] keep working when no peer can be reached through the nodes any more', async () => {
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

  it('[PP13] are reopened when their path is lost', async () => {
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
    // The callee notices the loss. It tells the caller, which calls again.
    const bob = controllers.make(tier, 'bob', { RTCPeerConnection: Kept })
    const first = opened(bob)
    const channel = await alice.connect('bob')
    await first
    const again = Promise.all([opened(alice), opened(bob)])
    const end = closed(channel)
    // We take the last connection, because libdatachannel may lose the first handshake and make another one.
    made.at(-1)?.lose()
    expect(await end).toContain('ended')
    const [ours, theirs] = await again
    const text = received(theirs)
    await ours.send('back')
    expect(await text).toBe('back')
    expect(alice.channels).toEqual([ours])
  })

  it("[PP18] carry delivery frames beside the application's messages until they close", async () => {
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
    // Keep the last result, because at the next call there may be room again.
    let taken = carrier?.send(large)
    while (taken === true) taken = carrier?.send(large)
    expect(taken).toBe('full')
    await expect.poll(() => kicked).toBeGreaterThan(0)
    expect(there.state).toBe('open')
    // The stream is full again, and yet the goodbye is sent, so that close() does not take 10 s.
    while (carrier?.send(large) === true);
    await channel.close()
    expect(carriers).toEqual([])
    expect(carrier?.send(large)).toBe(false)
  })

  it('[PP20] keep messages that arrive before anybody listens', async () => {
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
    const both = new Promise<void>((resolve) => {
      // The listener calls `stop`, so the first message must not arrive before `on` has returned.
      const stop = there.on('message', (data) => {
        if (heard.push(data) < 2) return
        stop()
        resolve()
      })
    })
    await both
    expect(heard).toEqual(['early', 'bird'])
    expect(tier.errors).toEqual([])
  })
})

describe('privacy', () => {
  it('[PP16] with holdCandidates, no address is sent before the other side accepts', async () => {
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

  it('[PP15] [PP36] with relayOnly and a stack that cannot keep it, calls fail at once and callers are refused', async () => {
    const tier = new Rendezvous()
    const errors: string[] = []
    const onError = (error: unknown): void => void errors.push(String(error))
    const alice = controllers.make(tier, 'alice', { relayOnly: true }, { onError })
    const failed = new Promise((resolve) => alice.on('connect-failed', resolve))
    const error = await failure(alice.connect('bob'))
    expect(error).toMatchObject({
      stage: 'ice',
      message: expect.stringMatching(/relayOnly.*werift.*@roamhq\/wrtc/),
    })
    expect(await failed).toBe(error)
    expect(tier.sent).toEqual([])
    const bob = controllers.make(tier, 'bob')
    for (let calls = 0; calls < 2; calls++)
      expect(await failure(bob.connect('alice'))).toMatchObject({
        stage: 'no-answer',
        message: expect.stringContaining('takes calls through TURN only'),
      })
    expect(tier.sent.filter(({ from }) => from === 'alice').map(({ body }) => body)).toEqual(
      Array(2).fill('{"type":"end","reason":"relay-only"}'),
    )
    expect(errors).toEqual([expect.stringMatching(/was refused: relayOnly cannot be kept/)])
  })
})
