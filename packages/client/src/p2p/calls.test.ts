import { afterEach, describe, expect, it } from 'vitest'
import { Controllers, closed, nodePeerConnection, opened } from '../testing/controllers.js'
import { endFading, fadingStack } from '../testing/fading-stack.js'
import { answerManually, offerManually } from '../entries/manual-node.js'
import { systemClock } from '../lib/clock.js'
import { Rendezvous } from '../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())
afterEach(endFading)

describe('calls', () => {
  it('[PP4] to one peer wait for their turn when there are more than it answers at once', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    for (let calls = 0; calls < 10; calls++) {
      const channel = await alice.connect('bob', { deadlineMs: 5_000 })
      await channel.close()
    }
  }, 20_000)

  it('[PP4] can be aborted, and fail at their deadline, while they wait for their turn', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob', { accept: () => false })
    const refused = Array.from({ length: 7 }, (_, label) => alice.connect('bob', { label: `${label}` }))
    await Promise.allSettled(refused)
    const before = tier.sent.length
    const late = alice.connect('bob', { deadlineMs: 50 })
    const aborted = alice.connect('bob', { label: 'a', signal: AbortSignal.timeout(50) })
    await expect(late).rejects.toMatchObject({ stage: 'no-answer' })
    await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' })
    await new Promise<void>((resolve) => setTimeout(resolve, 700))
    expect(tier.sent.slice(before).filter(({ body }) => body.includes('"offer"'))).toEqual([])
  })

  it('[PP4] do not use up a turn when they are aborted before their offer is sent', async () => {
    const tier = new Rendezvous()
    // This clock stands still, so a used turn never becomes free again.
    const alice = controllers.make(tier, 'alice', {}, { clock: { ...systemClock, now: () => 0 } })
    controllers.make(tier, 'bob')
    for (let label = 0; label < 7; label++) {
      const abort = new AbortController()
      const call = alice.connect('bob', { label: `${label}`, signal: abort.signal })
      abort.abort()
      await expect(call).rejects.toMatchObject({ name: 'AbortError' })
    }
    await expect(alice.connect('bob', { deadlineMs: 5_000 })).resolves.toMatchObject({ state: 'open' })
  })

  it.each(['why', null, 0])('[PP12] reject with the reason of their signal when it is %j', async (reason) => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob', { accept: () => new Promise(() => undefined) })
    const signal = AbortSignal.abort(reason)
    await expect(alice.connect('bob', { signal })).rejects.toBe(reason)
    const abort = new AbortController()
    const waiting = alice.connect('bob', { signal: abort.signal })
    abort.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    const channel = await bob.connect('alice')
    await expect(channel.send('text', { signal })).rejects.toBe(reason)
    const later = new AbortController()
    const offer = await offerManually()
    const answer = await answerManually(offer.text, { signal: later.signal })
    later.abort(reason)
    await expect(answer.channel).rejects.toBe(reason)
    offer.close()
  })
})

describe('a channel', () => {
  // An aborted or late call used to end the channel that was closing, and its unsent messages were lost.
  it.each(['aborted', 'late'])(
    '[PP12] [PP18] delivers all its messages while it closes, when the call for the next channel is %s',
    async (how) => {
      const tier = new Rendezvous()
      const alice = controllers.make(tier, 'alice')
      const bob = controllers.make(tier, 'bob')
      const theirs = opened(bob)
      const ours = await alice.connect('bob')
      const there = await theirs
      let messages = 0
      there.on('message', () => messages++)
      const end = closed(there)
      const sends = Array.from({ length: 40 }, () => ours.send(new Uint8Array(64 * 1024)))
      const closing = ours.close()
      const abort = new AbortController()
      const next = alice.connect('bob', how === 'late' ? { deadlineMs: 0 } : { signal: abort.signal })
      abort.abort('enough')
      await expect(next).rejects.toBeDefined()
      await Promise.all([...sends, closing])
      expect(await end).toBe('closed by the other peer')
      expect(messages).toBe(40)
    },
  )

  it('[PP18] with nothing to send waits 2 s for the goodbye of a silent peer', async () => {
    const tier = new Rendezvous()
    const stack = await fadingStack()
    const alice = controllers.make(tier, 'alice', stack)
    controllers.make(tier, 'bob')
    const channel = await alice.connect('bob')
    stack.mute()
    const before = performance.now()
    await channel.close()
    expect(performance.now() - before).toBeGreaterThan(1_500)
    expect(performance.now() - before).toBeLessThan(6_000)
  }, 15_000)

  it('[PP18] reports no error when its stack has closed before the goodbye could be sent', async () => {
    const tier = new Rendezvous()
    const PeerConnection = await nodePeerConnection()
    class Closing extends PeerConnection {
      override createDataChannel(label: string, options: RTCDataChannelInit = {}): RTCDataChannel {
        const stream = super.createDataChannel(label, options)
        // node-datachannel reports the `readyState` `open` for a moment after it has closed the stream.
        const send = (): never => {
          throw new Error('libdatachannel error while sending data channel message: DataChannel is closed')
        }
        return options.id === 0 ? Object.assign(stream, { send }) : stream
      }
    }
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Closing })
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const ours = await alice.connect('bob')
    const end = closed(ours)
    await (await theirs).close()
    await end
    expect(tier.errors).toEqual([])
  })
})
