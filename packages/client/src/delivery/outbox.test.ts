import { getEventListeners } from 'node:events'
import type { Kind, Name, PresenceState } from '@peerage/protocol'
import { beforeEach, expect, test } from 'vitest'
import { HELD_MESSAGES, HELD_SIGNALS, Outbox } from './outbox.js'
import type { Frame, SendResult, Via } from './signaling.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { nameFrom } from '../testing/fake-page.js'

const bob = nameFrom('bob')
type Sent = Extract<Frame, { type: 'send' }>

let clock: FakeClock
let wire: Sent[]
let watching: string[]
let online: boolean
let found: { state: PresenceState; since?: number } | 'forbidden' | undefined
let lookups: number
let outbox: Outbox
let streams: number

beforeEach(() => {
  clock = new FakeClock()
  wire = []
  watching = []
  online = true
  found = { state: 'online', since: 7 }
  lookups = streams = 0
  outbox = new Outbox({
    clock,
    // A random number in the middle of the range means no jitter.
    random: () => 0.5,
    streamId: () => `stream${++streams}`,
    server: {
      send: (frame) => {
        if (online && frame.type === 'send') wire.push(frame)
        return online
      },
    },
    lookup: async () => {
      lookups++
      return found
    },
    watch: (name) => watching.push(name),
    unwatch: (name) => watching.splice(watching.indexOf(name), 1),
  })
})

/** Sends a message. `end` is set when the send has ended. */
function send(
  body = 'x',
  more: { to?: Name; signal?: AbortSignal; deadlineMs?: number; via?: Via; kind?: Kind } = {},
): { end?: SendResult } {
  const sent: { end?: SendResult } = {}
  const message = { to: bob, kind: 'message', body, via: 'p2p-first', deadlineMs: 30_000, ...more } as const
  void outbox.send(message).then((end) => (sent.end = end))
  return sent
}

async function ack(next: number, stream = wire.at(-1)?.stream ?? '', from = bob): Promise<void> {
  outbox.acked({ type: 'acked', from, stream, next })
  await settled()
}

const seqs = (): number[] => wire.map(({ seq }) => seq)

test('[WD2] the first message looks the name up, and every message names the holder that was found', async () => {
  send('a')
  send('b')
  await settled()
  expect(lookups).toBe(1)
  expect(wire).toMatchObject([
    { to: 'bob', since: 7, stream: 'stream1', seq: 1, base: 1, kind: 'message', body: 'a' },
    { to: 'bob', since: 7, stream: 'stream1', seq: 2, base: 1, body: 'b' },
  ])
  expect(wire[0]).not.toHaveProperty('fresh')
})

test('[WD2] a message to a name without a holder is unavailable at once', async () => {
  found = { state: 'offline' }
  const sent = send()
  await settled()
  expect(sent.end).toBe('unavailable')
  expect(clock.pending).toBe(0)
})

test('[WR13] a name that this peer may not look up ends all messages to it as forbidden, and the next one is tried', async () => {
  found = 'forbidden'
  const [first, second] = [send(), send()]
  await clock.advance(0)
  expect([first.end, second.end]).toEqual(['forbidden', 'forbidden'])
  expect([lookups, wire]).toEqual([1, []])
  found = { state: 'online', since: 7 }
  const third = send()
  await clock.advance(0)
  await ack(4)
  expect(third.end).toBe('delivered')
})

test('[WD2] a lookup without an answer is repeated', async () => {
  found = undefined
  const sent = send()
  await clock.advance(1_999)
  expect(lookups).toBe(1)
  found = { state: 'online', since: 7 }
  await clock.advance(1)
  expect(lookups).toBe(2)
  await ack(2)
  expect(sent.end).toBe('delivered')
})

test('[WD2] when the holder is gone, a message that may have reached it is unavailable and never goes to the next holder', async () => {
  const first = send('first')
  await clock.advance(2_000)
  expect(seqs()).toEqual([1, 1])
  found = { state: 'online', since: 8 }
  const later = send('later')
  outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq: 1, code: 'unavailable' })
  await settled()
  expect(first.end).toBe('unavailable')
  expect(wire.filter(({ since }) => since === 8).map(({ body }) => body)).toEqual(['later'])
  expect(later.end).toBeUndefined()
})

test('[WD3] a message that a node refused at its first try reached nobody, so it goes to the next holder of the name', async () => {
  send('warm-up')
  await settled()
  await ack(2)
  const sends = [send('one'), send('two')]
  found = { state: 'online', since: 9 }
  outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq: 2, code: 'unavailable' })
  await settled()
  expect(wire.slice(-2)).toMatchObject([
    { since: 9, stream: 'stream2', seq: 1, base: 1, body: 'one' },
    { since: 9, stream: 'stream2', seq: 2, base: 1, body: 'two' },
  ])
  // A late notice for the old stream has no effect.
  outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq: 3, code: 'unavailable' })
  await ack(3, 'stream2')
  expect(sends.map(({ end }) => end)).toEqual(['delivered', 'delivered'])
})

test('[WD3] if the registry still returns the holder that a node called unavailable, the message is unavailable', async () => {
  const sent = send()
  await settled()
  outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq: 1, code: 'unavailable' })
  await settled()
  expect(sent.end).toBe('unavailable')
  const again = send()
  await settled()
  expect(wire.at(-1)).toMatchObject({ since: 7, seq: 2, base: 2, stream: 'stream2' })
  await ack(3)
  expect(again.end).toBe('delivered')
})

test('[WD10] an unacknowledged message is resent after 2, 4, 8, 8 s with a fresh lookup, and given up at the deadline', async () => {
  const sent = send()
  const at: number[] = []
  await settled()
  const start = clock.now()
  for (let ms = 0; ms < 29_900; ms += 100) {
    const before = wire.length
    await clock.advance(100)
    if (wire.length > before) at.push(clock.now() - start)
  }
  expect(at).toEqual([2_000, 6_000, 14_000, 22_000])
  expect(wire.slice(1).every(({ fresh }) => fresh === true)).toBe(true)
  expect(sent.end).toBeUndefined()
  await clock.advance(100)
  expect(sent.end).toBe('timeout')
  expect(clock.pending).toBe(0)
})

test('[WD10] a new connection causes a resend at once', async () => {
  send()
  await settled()
  online = false
  await clock.advance(3_000)
  expect(wire).toHaveLength(1)
  online = true
  outbox.online()
  expect(seqs()).toEqual([1, 1])
})

test('[WD10] while a peer is away only one message is sent; when it is online the rest follows at once', async () => {
  for (let i = 0; i < 5; i++) send(`${i}`)
  await settled()
  for (let seq = 1; seq <= 5; seq++)
    outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq, code: 'away' })
  expect(watching).toEqual(['bob'])
  wire.length = 0
  await clock.advance(6_000)
  expect(seqs()).toEqual([1, 1])
  wire.length = 0
  outbox.presence(bob, 'online')
  expect(seqs()).toEqual([1, 2, 3, 4, 5])
  await ack(6)
  expect(watching).toEqual([])
  expect(clock.pending).toBe(0)
})

test('[WD10] without a presence change, the acknowledgement of that message releases the rest', async () => {
  found = { state: 'away', since: 7 }
  const sends = [send('1'), send('2'), send('3')]
  await settled()
  expect(seqs()).toEqual([1])
  await clock.advance(2_000)
  await ack(2)
  expect(seqs()).toEqual([1, 1, 2, 3])
  await ack(4)
  expect(sends.map(({ end }) => end)).toEqual(['delivered', 'delivered', 'delivered'])
})

test('[WD10] when presence says offline, only the first message is sent, with a fresh lookup', async () => {
  found = { state: 'away', since: 7 }
  const sent = send()
  await settled()
  outbox.presence(bob, 'offline')
  expect(seqs()).toEqual([1, 1])
  expect(sent.end).toBeUndefined()
  outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq: 1, code: 'unavailable' })
  expect((await settled(), sent.end)).toBe('unavailable')
})

test('[WD6] no more than a window is in flight, and acknowledgements release more', async () => {
  for (let i = 0; i < 100; i++) send()
  await settled()
  expect(wire).toHaveLength(64)
  await clock.advance(2_000)
  expect(wire).toHaveLength(128)
  await ack(11)
  expect(wire.slice(128).map(({ seq, base }) => [seq, base])).toEqual(
    Array.from({ length: 10 }, (_, i) => [65 + i, 11]),
  )
})

test('[WD6] fewer large messages are in flight', async () => {
  for (let i = 0; i < 20; i++) send('x'.repeat(40_000))
  await settled()
  expect(wire.length).toBeLessThanOrEqual(7)
  expect(wire.length).toBeGreaterThan(1)
})

test('[WD9] soon after a message was given up, base moves past it', async () => {
  const abort = new AbortController()
  const first = send('1', { signal: abort.signal })
  const second = send('2')
  await settled()
  abort.abort()
  await clock.advance(50)
  expect(first.end).toBe('aborted')
  expect(wire.at(-1)).toMatchObject({ seq: 2, base: 2 })
  await ack(3)
  expect(second.end).toBe('delivered')
})

test('[WD9] a gap in the middle is skipped once the messages before it are settled', async () => {
  const abort = new AbortController()
  send('1')
  send('2', { signal: abort.signal })
  const third = send('3')
  await settled()
  abort.abort()
  await settled()
  await ack(2)
  await clock.advance(50)
  expect(wire.at(-1)).toMatchObject({ seq: 3, base: 3 })
  await ack(4)
  expect(third.end).toBe('delivered')
})

test('[WD11] beyond the bound on held messages, send fails at once and sends nothing', async () => {
  for (let i = 0; i < HELD_MESSAGES; i++) send()
  const over = send()
  await settled()
  expect(over.end).toBe('queue-full')
  await ack(2)
  const fits = send()
  await settled()
  expect(fits.end).toBeUndefined()
})

test('[WD11] beyond the bound on held characters, send fails at once', async () => {
  for (let i = 0; i < 180; i++) send('x'.repeat(48 * 1024))
  await settled()
  expect(send('x'.repeat(48 * 1024))).toEqual({})
  const over = send('x'.repeat(48 * 1024))
  await settled()
  expect(over.end).toBe('queue-full')
})

test('[WD12] replayed, reordered, foreign, unknown and far-future acknowledgements settle nothing', async () => {
  const sends = [send('1'), send('2'), send('3')]
  await settled()
  await ack(99)
  await ack(5)
  await ack(3, 'nostream')
  await ack(3, 'stream1', nameFrom('eve'))
  await ack(0)
  await ack(Number.MAX_SAFE_INTEGER)
  expect(sends.map(({ end }) => end)).toEqual([undefined, undefined, undefined])
  await ack(3)
  await ack(2)
  await ack(1)
  await ack(3)
  expect(sends.map(({ end }) => end)).toEqual(['delivered', 'delivered', undefined])
})

test('[WD12] a message that was never transmitted cannot be acknowledged', async () => {
  for (let i = 0; i < 64; i++) send()
  const waiting = send('beyond the window')
  await settled()
  await ack(66)
  expect(waiting.end).toBeUndefined()
})

test('[WD4] a temporary notice keeps a message; a final notice ends it', async () => {
  const sends = [send('1'), send('2'), send('3')]
  await settled()
  const notice = (
    seq: number,
    code:
      | 'slow-consumer'
      | 'registry-unavailable'
      | 'rate-limited'
      | 'relay-refused'
      | 'too-large'
      | 'incompatible',
  ): void => outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq, code })
  notice(1, 'slow-consumer')
  notice(1, 'registry-unavailable')
  notice(1, 'rate-limited')
  notice(2, 'relay-refused')
  notice(77, 'too-large')
  await settled()
  expect(sends.map(({ end }) => end)).toEqual([undefined, 'relay-refused', undefined])
  notice(3, 'incompatible')
  await settled()
  expect(sends.map(({ end }) => end)).toEqual(['incompatible', 'relay-refused', 'incompatible'])
})

test('[WD4] a message that a rate limit held back at each try ends as rate-limited; one that may have arrived ends as timeout', async () => {
  const [kept, passed] = [send('kept', { deadlineMs: 5_000 }), send('passed', { deadlineMs: 5_000 })]
  await settled()
  const limit = (seq: number): void =>
    outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq, code: 'rate-limited' })
  limit(1)
  limit(2)
  // Both are sent again. This time the node accepts the second.
  await clock.advance(2_000)
  await settled()
  limit(1)
  await clock.advance(3_000)
  await settled()
  expect(seqs()).toEqual([1, 2, 1, 2])
  expect([kept.end, passed.end]).toEqual(['rate-limited', 'timeout'])
})

test('[WD4] an aborted send ends at once, before and after it was transmitted, and leaves no listener behind', async () => {
  const gone = send('x', { signal: AbortSignal.abort() })
  const abort = new AbortController()
  const sent = send('x', { signal: abort.signal })
  await settled()
  abort.abort()
  await settled()
  expect([gone.end, sent.end]).toEqual(['aborted', 'aborted'])
  expect(clock.pending).toBe(0)
})

test('[WD4] closing ends all held messages, and all later sends', async () => {
  const sent = send()
  await settled()
  outbox.close()
  const after = send()
  await settled()
  expect([sent.end, after.end]).toEqual(['closed', 'closed'])
  expect(clock.pending).toBe(0)
})

test('[WD14] signals and messages have separate streams', async () => {
  send('m')
  send('s', { kind: 'signal' })
  await settled()
  expect(wire.map(({ stream, seq, kind }) => [stream, seq, kind])).toEqual([
    ['stream1', 1, 'message'],
    ['stream2', 1, 'signal'],
  ])
})

test('[WD15] a stream moves to a channel and back without a change in its sequence', async () => {
  const channeled: Sent[] = []
  let room: boolean | 'full' = true
  const carrier = {
    send: (frame: Frame) => {
      if (room === true && frame.type === 'send') channeled.push(frame)
      return room
    },
  }
  const first = send('1')
  await settled()
  const detach = outbox.attach({ name: bob, since: 7 }, carrier)
  const second = send('2')
  send('3', { via: 'server' })
  await settled()
  expect(channeled.map(({ seq, base, stream }) => [seq, base, stream])).toEqual([[2, 1, 'stream1']])
  expect(seqs()).toEqual([1, 3])
  room = 'full'
  send('4')
  await settled()
  expect(seqs()).toEqual([1, 3])
  room = true
  outbox.kick(bob)
  expect(channeled.map(({ seq }) => seq)).toEqual([2, 4])
  await ack(3, 'stream1')
  expect([first.end, second.end]).toEqual(['delivered', 'delivered'])
  wire.length = 0
  // The channel closes. The messages that it may have lost go through the server at once.
  detach()
  expect(seqs()).toEqual([3, 4])
})

test('[WD15] a channel to another holder of the name does not carry this stream', async () => {
  send('1')
  await settled()
  outbox.attach({ name: bob, since: 8 }, { send: () => true })
  send('2')
  expect(seqs()).toEqual([1, 2])
})

test('[WD15] a channel binds a new stream without a lookup at the server', async () => {
  online = false
  const channeled: Frame[] = []
  outbox.attach({ name: bob, since: 7 }, { send: (frame) => channeled.push(frame) > 0 })
  send('1')
  expect(channeled).toMatchObject([{ since: 7, seq: 1 }])
  expect(lookups).toBe(0)
})

test('[WD15] a p2p-only message is unavailable at once without a channel, and as soon as its channel closes', async () => {
  const without = send('1', { via: 'p2p-only' })
  await settled()
  expect(without.end).toBe('unavailable')
  const detach = outbox.attach({ name: bob, since: 7 }, { send: () => true })
  const held = send('2', { via: 'p2p-only' })
  const other = send('3')
  detach()
  await settled()
  expect(held.end).toBe('unavailable')
  expect(wire.map(({ body, base }) => [body, base])).toEqual([['3', 2]])
  await ack(3)
  expect(other.end).toBe('delivered')
})

test('[WD11] the number of idle recipients whose holder is remembered is bounded', async () => {
  for (let i = 0; i < 2_000; i++) {
    void outbox.send({ to: nameFrom(`p${i}`), kind: 'message', body: 'x', via: 'server', deadlineMs: 30_000 })
    await settled()
    const last = wire.at(-1)
    if (last) await ack(2, last.stream, last.to)
  }
  lookups = 0
  void outbox.send({ to: nameFrom('p0'), kind: 'message', body: 'x', via: 'server', deadlineMs: 30_000 })
  void outbox.send({ to: nameFrom('p1999'), kind: 'message', body: 'x', via: 'server', deadlineMs: 30_000 })
  expect(lookups).toBe(1)
})

test('[WD3] a message that a channel carried may have arrived, so it does not go to the next holder', async () => {
  const byServer = send('by server')
  await settled()
  outbox.attach({ name: bob, since: 7 }, { send: () => true })
  const byChannel = send('by channel')
  found = { state: 'online', since: 8 }
  outbox.notice({ type: 'notice', to: bob, stream: 'stream1', seq: 1, code: 'unavailable' })
  await settled()
  expect(byChannel.end).toBe('unavailable')
  expect(wire.at(-1)).toMatchObject({ since: 8, body: 'by server' })
  await ack(2)
  expect(byServer.end).toBe('delivered')
})

test('[WD4] an abort signal that outlives many sends keeps none of their listeners', async () => {
  const abort = new AbortController()
  const sent = send('x', { signal: abort.signal })
  await settled()
  const others = Array.from({ length: 20 }, () => send('x', { signal: abort.signal }))
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1)
  await ack(11)
  expect(sent.end).toBe('delivered')
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1)
  await ack(22)
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
  expect(others.map(({ end }) => end)).not.toContain(undefined)
  const later = [send('x', { signal: abort.signal }), send('x', { signal: abort.signal })]
  abort.abort()
  await settled()
  expect(later.map(({ end }) => end)).toEqual(['aborted', 'aborted'])
})

test('[WD11] unacknowledged signals leave room for messages', async () => {
  const signal = (): { end?: SendResult } => send('x', { kind: 'signal', via: 'server', deadlineMs: 15_000 })
  for (let i = 0; i < HELD_SIGNALS; i++) signal()
  const over = signal()
  const message = send()
  await settled()
  expect([over.end, message.end]).toEqual(['queue-full', undefined])
  await clock.advance(15_000)
  const later = signal()
  await settled()
  expect(later.end).toBeUndefined()
})

test('[WD11] strangers that acknowledge no signal do not keep this peer from answering another one', async () => {
  const signal = (to: string): { end?: SendResult } =>
    send('x', { to: nameFrom(to), kind: 'signal', via: 'server', deadlineMs: 15_000 })
  const held = Array.from({ length: HELD_SIGNALS }, (_, i) => signal(`stranger-${i % 8}`))
  const answers = Array.from({ length: 4 }, () => signal('friend'))
  await settled()
  expect(answers.map(({ end }) => end)).toEqual([undefined, undefined, undefined, undefined])
  expect(held.filter(({ end }) => end === 'queue-full')).toHaveLength(4)
  expect(held.findIndex(({ end }) => end === undefined)).toBe(4)
})

test('[WD9] [WD10] each message that is given up causes one resend, not a resend of all waiting messages', async () => {
  // Nobody acknowledges, and each message reaches its own deadline.
  for (let i = 0; i < 60; i++) {
    send('x', { deadlineMs: 4_000 })
    await clock.advance(100)
  }
  const before = wire.length
  const times = new Map<number, number>()
  await clock.advance(4_000)
  for (const { seq } of wire) times.set(seq, (times.get(seq) ?? 0) + 1)
  // Per message: the first try, one or two resends after 2 s or more, and one resend as the first remaining message.
  expect(Math.max(...times.values())).toBeLessThanOrEqual(4)
  expect(wire.length - before).toBeLessThanOrEqual(120)
})

test('[WD19] messages that the recipient could not read are incompatible, the others are delivered', async () => {
  const sends = ['a', 'b', 'c', 'd'].map((body) => send(body))
  await settled()
  const stream = wire.at(-1)?.stream ?? ''
  outbox.acked({ type: 'acked', from: bob, stream, next: 4, unread: '2' })
  await settled()
  expect(sends.map(({ end }) => end)).toEqual(['delivered', 'incompatible', 'delivered', undefined])
  outbox.acked({ type: 'acked', from: bob, stream, next: 5, unread: 'f'.repeat(16) })
  await settled()
  expect(sends.map(({ end }) => end)).toEqual(['delivered', 'incompatible', 'delivered', 'incompatible'])
})
