import { afterEach, describe, expect, it } from 'vitest'
import { Stream } from './streams.js'
import type { Early, StreamData } from './streams.js'
import { watchStreams } from './streams.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeStream, rtcStreamOf } from '../../testing/fake-connection.js'

const MIB = 1024 * 1024

/** A stream, the fake RTCDataChannel under it, and a record of what it reports. */
class Side {
  readonly clock = new FakeClock()
  readonly channel = new FakeStream()
  readonly stream: Stream
  readonly heard: StreamData[] = []
  rooms = 0
  stalls = 0
  floods = 0

  constructor(early: Early = { bytes: 0 }) {
    this.stream = new Stream(rtcStreamOf(this.channel), this.clock, early)
    this.stream.watch({
      onOpen: () => undefined,
      onClose: () => undefined,
      onStall: () => this.stalls++,
      onFlood: () => this.floods++,
    })
  }

  listen(): this {
    this.stream.listen(
      (data) => this.heard.push(data),
      () => this.rooms++,
    )
    return this
  }
}

describe('a stream', () => {
  const clocks: FakeClock[] = []
  const make = (early?: Early): Side => {
    const side = new Side(early)
    clocks.push(side.clock)
    return side
  }
  afterEach(() => expect(clocks.splice(0).filter(({ pending }) => pending > 0)).toEqual([]))

  it('[PP19] gives a stack that is written in JavaScript bytes of its own', () => {
    const { stream, channel } = make()
    const bytes = Uint8Array.of(1, 2, 3)
    stream.send(bytes)
    bytes.fill(0)
    expect(channel.sent).toEqual([Uint8Array.of(1, 2, 3)])
  })

  it('[PP19] does not copy for a native stack, which copies by itself', () => {
    const channel = new FakeStream()
    // A bound function has no source text, like a native one.
    channel.send = channel.send.bind(channel)
    const bytes = Uint8Array.of(1, 2, 3)
    new Stream(rtcStreamOf(channel), new FakeClock()).send(bytes)
    expect(channel.sent[0]).toBe(bytes)
  })

  it('[PP20] delivers messages that arrived before anyone listened, in order', async () => {
    const side = make()
    side.channel.hear('early')
    side.listen()
    side.channel.hear('later')
    expect(side.heard).toEqual([])
    await settled()
    side.channel.hear('last')
    expect(side.heard).toEqual(['early', 'later', 'last'])
  })

  it('[PP20] keeps messages after `hold` for whoever listens next, in order', async () => {
    const side = make()
    for (const text of ['one', 'two', 'three']) side.channel.hear(text)
    const first: StreamData[] = []
    side.stream.listen(
      (data) => {
        first.push(data)
        side.stream.hold()
      },
      () => undefined,
    )
    await settled()
    side.channel.hear('four')
    expect(first).toEqual(['one'])
    side.listen()
    await settled()
    side.channel.hear('five')
    expect(side.heard).toEqual(['two', 'three', 'four', 'five'])
  })

  it('[PP20] [PP45] keeps at most 4 MiB with the other stream of its connection, also of empty messages', async () => {
    const early = { bytes: 0 }
    const [one, other] = [make(early), make(early)]
    one.channel.hear(new Uint8Array(3 * MIB))
    other.channel.hear(new Uint8Array(2 * MIB))
    expect([one.floods, other.floods]).toEqual([0, 1])
    one.listen()
    await settled()
    expect(early.bytes).toBe(0)
    for (let i = 0; i < 4 * MIB; i += 128) other.channel.hear('')
    expect(other.floods).toBe(1)
    other.channel.hear('')
    expect(other.floods).toBe(2)
    other.listen()
    await settled()
    expect(other.heard).toHaveLength((4 * MIB) / 128)
  })

  it('[PP35] delivers the same data for each type in which stacks deliver it, in order', async () => {
    const side = make().listen()
    await settled()
    const bytes = new Uint8Array([0, 1, 2, 3])
    const pool = Buffer.from([9, 7, 8, 9])
    side.channel.hear('text')
    side.channel.hear(bytes.buffer)
    side.channel.hear(pool.subarray(1, 3))
    // The stack reuses the memory of the received bytes.
    pool.fill(0)
    side.channel.hear(new Blob([bytes]))
    side.channel.hear('after the blob')
    await expect.poll(() => side.heard.length).toBe(5)
    expect(side.heard).toEqual(['text', bytes, new Uint8Array([7, 8]), bytes, 'after the blob'])
  })

  it('[PP35] polls a stack that never fires bufferedamountlow, but only while a sender waits', async () => {
    const side = make().listen()
    side.channel.bufferedAmount = 2 * MIB
    await side.clock.advance(1_000)
    expect([side.rooms, side.clock.pending]).toEqual([0, 0])
    side.stream.awaitRoom()
    await side.clock.advance(1_000)
    expect(side.rooms).toBe(0)
    side.channel.bufferedAmount = MIB / 4
    await side.clock.advance(20)
    expect(side.rooms).toBe(1)
  })

  it('[PP19] reports room when its stack fires bufferedamountlow', async () => {
    const side = make().listen()
    side.channel.bufferedAmount = 2 * MIB
    side.stream.awaitRoom()
    side.channel.bufferedAmount = 0
    side.channel.dispatchEvent(new Event('bufferedamountlow'))
    expect(side.rooms).toBe(1)
  })

  it('[PP35] reports a stall after a minute in which nothing leaves, but not while data leaves slowly', async () => {
    const side = make().listen()
    side.channel.bufferedAmount = 2 * MIB
    side.stream.awaitRoom()
    for (let i = 0; i < 5; i++) {
      await side.clock.advance(50_000)
      side.channel.bufferedAmount--
    }
    expect(side.stalls).toBe(0)
    await side.clock.advance(60_100)
    expect(side.stalls).toBe(1)
  })
})

it('[PP35] two streams report that both are open, although one opened before anyone listened', () => {
  const clock = new FakeClock()
  const channels = [new FakeStream(), new FakeStream()]
  const [data, frames] = channels.map((channel) => new Stream(rtcStreamOf(channel), clock))
  if (!data || !frames) throw new Error('no streams')
  for (const channel of channels) channel.readyState = 'open'
  let opened = 0
  watchStreams(
    { data, frames },
    {
      onOpen: () => opened++,
      onClose: () => expect.unreachable(),
      onStall: () => expect.unreachable(),
      onFlood: () => expect.unreachable(),
    },
  )
  for (const channel of channels) channel.dispatchEvent(new Event('open'))
  expect(opened).toBe(1)
})
