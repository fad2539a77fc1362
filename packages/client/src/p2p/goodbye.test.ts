import { afterEach, describe, expect, it } from 'vitest'
import { Controllers, closed, failure, nodePeerConnection, opened } from '../testing/controllers.js'
import { endFading, fadingStack } from '../testing/fading-stack.js'
import { Rendezvous } from '../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())

const ends: (() => void)[] = []
afterEach(() => ends.splice(0).forEach((end) => end()))
afterEach(endFading)

describe('a goodbye', () => {
  it('[PP18] is enough to end a channel: neither side waits for the other to close its connection', async () => {
    const tier = new Rendezvous()
    const PeerConnection = await nodePeerConnection()
    const held: (() => void)[] = []
    class Held extends PeerConnection {
      override close(): void {
        held.push(() => super.close())
      }
    }
    ends.push(() => held.forEach((close) => close()))
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Held })
    const bob = controllers.make(tier, 'bob', { RTCPeerConnection: Held })
    for (const closer of [alice, bob]) {
      const theirs = opened(bob)
      const ours = await alice.connect('bob')
      const there = await theirs
      const end = closed(closer === alice ? there : ours)
      const before = performance.now()
      await (closer === alice ? ours : there).close()
      expect(await end).toBe('closed by the other peer')
      // Far below the 2 s after which a connection is closed without a goodbye.
      expect(performance.now() - before).toBeLessThan(1_500)
      expect(alice.channels.concat(bob.channels)).toEqual([])
    }
  })

  it('[PP18] is sent on every channel before a closing controller closes its connections', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    await alice.connect('bob')
    const end = closed(await theirs)
    const heard = alice.close()
    expect(alice.channels).toEqual([])
    await heard
    expect(await end).toBe('closed by the other peer')
  })

  it('[PP18] is sent after the waiting messages, also when both sides close at once', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const there = await theirs
    const counts = [ours, there].map((channel) => {
      const count = { messages: 0 }
      channel.on('message', () => count.messages++)
      return count
    })
    const chunk = new Uint8Array(64 * 1024)
    const sends = [ours, there].flatMap((channel) => Array.from({ length: 40 }, () => channel.send(chunk)))
    const second = Promise.all([ours.close(), there.close(), ours.close()])
    await Promise.all(sends)
    await second
    expect(counts).toEqual([{ messages: 40 }, { messages: 40 }])
  })

  it('[PP18] with an invalid number of messages ends the channel, too', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const PeerConnection = await nodePeerConnection()
    let frames: RTCDataChannel | undefined
    class Kept extends PeerConnection {
      override createDataChannel(label: string, options: RTCDataChannelInit = {}): RTCDataChannel {
        const stream = super.createDataChannel(label, options)
        if (options.id === 0) frames = stream
        return stream
      }
    }
    const bob = controllers.make(tier, 'bob', { RTCPeerConnection: Kept })
    const end = closed(await bob.connect('alice'))
    frames?.send('{"type":"bye","messages":"many"}')
    await end
    expect(alice.channels).toEqual([])
  })
})

describe('a channel that an application closed', () => {
  it('[PP34] is not reopened by a caller that noticed only the loss of its path', async () => {
    const tier = new Rendezvous()
    const stack = await fadingStack()
    // Alice called, so she would call again.
    const alice = controllers.make(tier, 'alice', stack)
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const there = await theirs
    const failures: unknown[] = []
    alice.on('connect-failed', (error) => failures.push(error))
    stack.mute()
    void there.close()
    const end = closed(ours)
    stack.lose()
    await end
    // Her offer names the channel that it resumes, and bob's application has closed that channel.
    const answer = await expect
      .poll(() => tier.sent.find(({ from, body }) => from === 'bob' && body.includes('"closed"')))
      .toBeDefined()
      .then(() => tier.sent.filter(({ body }) => body.includes('"resumes"')))
    expect(answer).toHaveLength(1)
    await expect.poll(() => there.state).toBe('closed')
    await new Promise<void>((resolve) => setTimeout(resolve, 200))
    expect(alice.channels.concat(bob.channels)).toEqual([])
    expect(failures).toEqual([])
    expect(tier.errors).toEqual([])
  })

  it('[PP34] is not reopened by a caller that closed it and then lost its path', async () => {
    const tier = new Rendezvous()
    const stack = await fadingStack()
    const alice = controllers.make(tier, 'alice', stack)
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const end = closed(await theirs)
    // On a busy machine, opening the channel may have taken two offers.
    const before = tier.sent.length
    stack.mute()
    const own = ours.close()
    stack.lose()
    await own
    // Bob learns it through the nodes, because nothing gets through the connection.
    expect(await end).toBe('closed by the other peer')
    expect(tier.sent.slice(before).filter(({ body }) => body.includes('"offer"'))).toEqual([])
    expect(alice.channels.concat(bob.channels)).toEqual([])
  })

  it('[PP34] is followed by a new one when the application calls during the attempt to reopen it', async () => {
    const tier = new Rendezvous()
    const stack = await fadingStack()
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: stack.RTCPeerConnection })
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const there = await theirs
    const before = tier.sent.length
    stack.mute()
    const closing = there.close()
    // This call joins the attempt to reopen the channel, which fails.
    const anew = new Promise<typeof ours>((resolve, reject) => {
      alice.on('channel-closed', () => queueMicrotask(() => void alice.connect('bob').then(resolve, reject)))
    })
    stack.lose()
    const channel = await anew
    await closing
    expect(channel.state).toBe('open')
    expect(alice.channels).toEqual([channel])
    const offers = tier.sent.slice(before).filter(({ body }) => body.includes('"offer"'))
    // On a busy machine, the new call may take two offers.
    const resume = offers.map(({ body }) => body.includes('"resumes"'))
    expect([resume[0], ...new Set(resume.slice(1))]).toEqual([true, false])
  })
})

describe('a message that is too large', () => {
  it.each([
    ['the bound that the other side states', 'a=max-message-size:100000', 100_000],
    ['64 KiB if the other side states none', 'a=mid:0', 65_536],
  ])('[PP33] for %s is refused as too-large, and the channel stays open', async (_, line, most) => {
    const tier = new Rendezvous()
    const PeerConnection = await nodePeerConnection()
    class Small extends PeerConnection {
      override async setRemoteDescription({ type, sdp = '' }: RTCSessionDescriptionInit): Promise<void> {
        await super.setRemoteDescription({ type, sdp })
      }
      override async createOffer(): Promise<never> {
        const { type, sdp = '' } = await super.createOffer()
        return { type, sdp: sdp.replace(/a=max-message-size:\d+/, line) } as never
      }
    }
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Small })
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const there = await theirs
    const heard: number[] = []
    const both = new Promise<void>((resolve) =>
      ours.on('message', (data) => heard.push(data.length) === 2 && resolve()),
    )
    for (const large of [new Uint8Array(most + 1), `${'ä'.repeat(most / 2)}!`])
      expect(await failure(there.send(large))).toMatchObject({
        code: 'too-large',
        message: `a message of ${most + 1} bytes: this channel carries at most ${most} in one; send it in parts`,
      })
    await there.send(new Uint8Array(most))
    await there.send('ä'.repeat(most / 2))
    await both
    expect(heard).toEqual([most, most / 2])
    expect(there.state).toBe('open')
  })
})

describe('descriptions', () => {
  it('[PP32] offer both DTLS roles, and node-datachannel answers as the server', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    await alice.connect('bob')
    const roles = tier.sent.flatMap(
      ({ body }) => /"type":"(\w+)".*a=setup:(\w+)/.exec(body)?.slice(1).join() ?? [],
    )
    // On a busy machine there may be two handshakes.
    expect(new Set(roles)).toEqual(new Set(['offer,actpass', 'answer,passive']))
  })
})
