import { createHash, randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { loadNodeDataChannel } from '../../platform/node-rtc.js'
import { Controllers, closed, failure, opened } from '../../testing/controllers.js'
import { Rendezvous } from '../../testing/rendezvous.js'

const controllers = new Controllers()
afterEach(() => controllers.close())

const CHUNK_BYTES = 64 * 1024
const FILE_BYTES = 50 * 1024 * 1024
/** The most bytes that `send` buffers: it waits above 1 MiB, so one more chunk may be added to that. */
const BUFFERED_MOST = 1024 * 1024 + CHUNK_BYTES

describe('send', () => {
  it('[PP19] carries 50 MiB unchanged, and never buffers more than its bound', async () => {
    const PeerConnection = await loadNodeDataChannel()
    const streams: RTCDataChannel[] = []
    class Watched extends PeerConnection {
      override createDataChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel {
        const stream = super.createDataChannel(label, options)
        streams.push(stream)
        return stream
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Watched })
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const there = await theirs
    const incoming = createHash('sha256')
    let bytes = 0
    const complete = new Promise<void>((resolve) =>
      there.on('message', (data) => {
        incoming.update(data)
        bytes += data.length
        if (bytes === FILE_BYTES) resolve()
      }),
    )
    const outgoing = createHash('sha256')
    let most = 0
    for (let sent = 0; sent < FILE_BYTES; sent += CHUNK_BYTES) {
      const chunk = new Uint8Array(randomBytes(CHUNK_BYTES))
      outgoing.update(chunk)
      await channel.send(chunk)
      most = Math.max(most, ...streams.map((stream) => stream.bufferedAmount))
    }
    await complete
    expect(incoming.digest('hex')).toBe(outgoing.digest('hex'))
    expect(most).toBeGreaterThan(CHUNK_BYTES)
    expect(most).toBeLessThanOrEqual(BUFFERED_MOST)
  }, 60_000)

  it('[PP19] keeps the order of calls that do not wait for each other', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const there = await theirs
    const heard: number[] = []
    const end = new Promise<void>((resolve) =>
      there.on('message', (data) => {
        heard.push(typeof data === 'string' ? -1 : (data[0] ?? -1))
        if (heard.length === 100) resolve()
      }),
    )
    for (let i = 0; i < 100; i++) void channel.send(new Uint8Array(CHUNK_BYTES).fill(i))
    expect(channel.busy).toBe(true)
    await end
    expect(heard).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })

  it('drops only the waiting message whose signal aborts', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const there = await theirs
    const last = new Promise<string | Uint8Array>((resolve) =>
      there.on('message', (data) => typeof data === 'string' && resolve(data)),
    )
    for (let i = 0; i < 60; i++) void channel.send(new Uint8Array(CHUNK_BYTES))
    const abort = new AbortController()
    const waiting = failure(channel.send('never', { signal: abort.signal }))
    const after = channel.send('after')
    abort.abort(new Error('enough'))
    expect((await waiting).message).toBe('enough')
    await after
    expect(await last).toBe('after')
  })

  it('refuses a message that is too large, and the channel stays open', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    controllers.make(tier, 'bob')
    const channel = await alice.connect('bob')
    await failure(channel.send(new Uint8Array(1024 * 1024)))
    await channel.send('small')
    expect(channel.state).toBe('open')
  })

  it('rejects the waiting calls when the channel ends', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const channel = await alice.connect('bob')
    const end = closed(channel)
    const sends = Array.from({ length: 60 }, () => channel.send(new Uint8Array(CHUNK_BYTES)))
    const ends = Promise.allSettled(sends)
    await Promise.all([alice.close(), bob.close()])
    await end
    const reasons = (await ends).flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    expect(reasons.length).toBeGreaterThan(0)
    for (const reason of reasons)
      expect(reason).toMatchObject({
        code: 'closed',
        message: expect.stringMatching(/^the channel closed \(.+\); `peer.p2p.connect` opens another$/),
      })
  })

  it('[PP20] closes the channel when too much arrives while nobody listens', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const end = closed(await theirs)
    for (let i = 0; i < 100; i++) void channel.send(new Uint8Array(CHUNK_BYTES)).catch(() => undefined)
    expect(await end).toContain('nobody listens')
  })

  it('[PP20] closes the channel when too many empty messages arrive while nobody listens', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const end = closed(await theirs)
    for (let i = 0; i < 40_000 && channel.state === 'open'; i++) await channel.send('').catch(() => undefined)
    expect(await end).toContain('nobody listens')
  })
})
