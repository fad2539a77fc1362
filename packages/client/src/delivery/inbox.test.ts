import type { Kind } from '@peerage/protocol'
import { beforeEach, expect, test, vi } from 'vitest'
import { Inbox } from './inbox.js'
import type { Carrier } from './signaling.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { nameFrom } from '../testing/fake-page.js'

interface Acked {
  to: string
  stream: string
  next: number
  unread?: string
}

let clock: FakeClock
let handed: string[]
let acks: Acked[][]
let saves: number
let listening: boolean
let onHand: () => void
/** Whether the SDK cannot read this body. */
let unreadable: (body: string) => boolean
let inbox: Inbox
const server: Carrier = {
  send: (frame) => {
    if (frame.type === 'ack') acks.push(frame.acks)
    return true
  },
}

beforeEach(() => {
  clock = new FakeClock()
  handed = []
  acks = []
  saves = 0
  listening = true
  onHand = () => {}
  unreadable = () => false
  inbox = open()
})

function open(seen: ConstructorParameters<typeof Inbox>[1] = []): Inbox {
  const hand = ({ body }: { body: string }): boolean => {
    if (unreadable(body)) return false
    handed.push(body)
    onHand()
    return true
  }
  return new Inbox(
    { clock, server, listens: () => listening, hand, save: () => saves++, streamMs: 60_000 },
    seen,
  )
}

function receive(
  seq: number,
  more: { base?: number; from?: string; since?: number; stream?: string; body?: string; kind?: Kind } = {},
  carrier = server,
): void {
  const {
    base = 1,
    from = 'ann',
    since = 3,
    stream = 'streamofann',
    body = `${seq}`,
    kind = 'message',
  } = more
  inbox.receive({ type: 'message', from: nameFrom(from), since, stream, seq, base, kind, body }, carrier)
}

const nexts = (): number[] => acks.flat().map(({ next }) => next)

test('[WD4] a message that overtakes another waits for it; duplicates are dropped, and acknowledged again', async () => {
  receive(2)
  receive(3)
  expect(handed).toEqual([])
  receive(1)
  receive(1)
  receive(3)
  expect(handed).toEqual(['1', '2', '3'])
  await clock.advance(20)
  acks.length = 0
  receive(2)
  expect(handed).toEqual(['1', '2', '3'])
  await clock.advance(20)
  expect(nexts()).toEqual([4])
})

test('[WD5] the first acknowledgement is sent at once, the others in batches of 20 ms', async () => {
  receive(1)
  expect(acks).toEqual([[{ to: 'ann', stream: 'streamofann', next: 2 }]])
  receive(2)
  receive(3)
  receive(1, { from: 'cas', stream: 'streamofcas' })
  expect(acks).toHaveLength(1)
  await clock.advance(20)
  expect(acks.slice(1)).toEqual([
    [
      { to: 'ann', stream: 'streamofann', next: 4 },
      { to: 'cas', stream: 'streamofcas', next: 2 },
    ],
  ])
  expect(clock.pending).toBe(0)
})

test('[WD5] acknowledgements of signals wait for the next batch', async () => {
  receive(1, { kind: 'signal' })
  expect(acks).toEqual([])
  await clock.advance(10)
  receive(2, { kind: 'signal' })
  await clock.advance(10)
  expect(nexts()).toEqual([3])
  await clock.advance(20)
  receive(3, { kind: 'signal' })
  expect(acks).toHaveLength(1)
  // The acknowledgement of a message is sent at once, in one frame with the acknowledgements of the signals.
  receive(1, { from: 'cas', stream: 'streamofcas' })
  expect(acks).toHaveLength(2)
  expect(acks.at(-1)).toHaveLength(2)
  expect(clock.pending).toBe(0)
})

test('[WD5] signals do not make the acknowledgement of a message wait', async () => {
  for (let seq = 1; seq <= 10; seq++) {
    receive(seq, { kind: 'signal' })
    await clock.advance(4)
  }
  const before = acks.length
  receive(1, { from: 'cas', stream: 'streamofcas' })
  expect(acks).toHaveLength(before + 1)
})

test('[WD5] half a window is acknowledged without a wait', () => {
  for (let seq = 1; seq <= 64; seq++) receive(seq)
  expect(nexts()).toEqual([2, 34])
})

test('[WD5] no frame holds more than 64 acknowledgements', async () => {
  receive(1)
  for (let i = 0; i < 100; i++) receive(2, { from: `p${i}`, stream: 'streamofall' })
  await clock.advance(20)
  expect(acks.map((one) => one.length)).toEqual([1, 64, 36])
})

test('[WD7] a handed-over message is saved before it is acknowledged, and not handed over again after a reload', () => {
  receive(1)
  expect(saves).toBe(1)
  receive(2)
  const seen = inbox.seen()
  inbox = open(seen)
  receive(1)
  receive(2)
  receive(3)
  expect(handed).toEqual(['1', '2', '3'])
})

test('[WD7] an idle stream is forgotten in time, and not saved', async () => {
  receive(1)
  await clock.advance(59_999)
  expect(inbox.seen()).toHaveLength(1)
  await clock.advance(1)
  expect(inbox.seen()).toEqual([])
})

test('[WD8] until somebody listens, messages wait and are not acknowledged', async () => {
  listening = false
  receive(1)
  receive(2)
  await clock.advance(20)
  expect(nexts()).toEqual([1, 1])
  listening = true
  acks.length = 0
  inbox.drain()
  expect(handed).toEqual(['1', '2'])
  await clock.advance(20)
  expect(nexts()).toEqual([3])
})

test('[WD8] a listener that adds another listener gets no message twice', () => {
  listening = false
  receive(1)
  receive(2)
  listening = true
  onHand = () => inbox.drain()
  inbox.drain()
  expect(handed).toEqual(['1', '2'])
})

test('[WD9] a message that its sender gave up is skipped, and never handed over late', () => {
  receive(3)
  receive(4)
  receive(6)
  receive(7, { base: 5 })
  expect(handed).toEqual([])
  receive(5, { base: 5 })
  expect(handed).toEqual(['5', '6', '7'])
  receive(3)
  expect(handed).toEqual(['5', '6', '7'])
})

test('[WD12] sequence numbers from the past, from the far future, and below their base have no effect', async () => {
  receive(1)
  receive(66)
  receive(Number.MAX_SAFE_INTEGER)
  receive(0, { base: 0 })
  receive(2, { base: 3 })
  receive(5, { base: 0 })
  expect(handed).toEqual(['1'])
  receive(2)
  expect(handed).toEqual(['1', '2'])
  await clock.advance(20)
  expect(nexts().at(-1)).toBe(3)
})

test('[WD12] no seq makes this peer acknowledge with an invalid number', async () => {
  const last = Number.MAX_SAFE_INTEGER
  receive(last, { base: last })
  receive(last - 1, { base: last - 1 })
  await clock.advance(20)
  expect(nexts().every((next) => Number.isSafeInteger(next))).toBe(true)
  expect(handed).toEqual([`${last - 1}`])
})

test('[WD12] messages up to the end of the window are kept, and none after it', () => {
  receive(64)
  receive(65)
  for (let seq = 1; seq < 64; seq++) receive(seq)
  expect(handed).toHaveLength(64)
})

test('[WD12] one sender cannot push out the streams of another', () => {
  receive(1)
  for (let i = 0; i < 10_000; i++) receive(1, { from: 'eve', stream: `eve${String(i).padStart(8, '0')}` })
  receive(1)
  expect(handed.filter((body) => body === '1')).toHaveLength(10_001)
  expect(inbox.seen()).toHaveLength(17)
})

test('[WD12] the number of remembered senders is bounded', () => {
  listening = false
  for (let i = 0; i < 5_000; i++) receive(2, { from: `p${i}`, body: 'x' })
  expect(inbox.seen()).toHaveLength(1_024)
  listening = true
  for (let i = 0; i < 5_000; i++) receive(1, { from: `k${i}`, body: 'x' })
  expect(inbox.seen()).toHaveLength(4_096 + 1_024)
})

test('[WD12] senders without a handed-over message never push out senders with one', () => {
  receive(1)
  for (let i = 0; i < 10_000; i++) receive(2, { from: `eve${i}`, body: 'x' })
  receive(1)
  receive(2)
  expect(handed).toEqual(['1', '2'])
})

const big = 'x'.repeat(48 * 1024)

test('[WD12] the next message in order is taken, however much others hold', () => {
  for (let seq = 2; seq <= 64; seq++)
    for (const from of ['eve', 'mal', 'zed']) receive(seq, { from, body: big })
  for (let i = 0; i < 500; i++) receive(2, { from: `eve${i}`, body: big })
  for (let seq = 1; seq <= 10; seq++) receive(seq, { body: `${seq} ${big}` })
  expect(handed).toHaveLength(10)
})

test('[WD12] over the bound, the sender that holds most loses its newest messages; they come again, and none is missed', () => {
  for (let i = 0; i < 5; i++) for (let seq = 2; seq <= 60; seq++) receive(seq, { from: `eve${i}`, body: big })
  // These arrive in reverse order. They wait, and are not dropped.
  for (const seq of [3, 2, 1]) receive(seq, { body: `${seq}` })
  expect(handed).toEqual(['1', '2', '3'])
  handed = []
  receive(4, { body: 'p4a' })
  for (let seq = 2; seq <= 64; seq++) receive(seq, { from: 'mal', body: big })
  for (const seq of [5, 6, 7]) receive(seq, { body: `p0${big.slice(2)}` })
  expect(handed).toHaveLength(1)
  handed = []
  for (let seq = 1; seq <= 60; seq++) receive(seq, { from: 'eve0', body: big })
  expect(handed).toHaveLength(60)
})

/** The fragments of a message of the maximum size. */
const whole = ['p4', 'p0', 'p0', 'p0'].map((mark) => `${mark}${big.slice(2)}`)

test('[WD12] a message in fragments gets through while strangers hold just less than its sender, behind gaps', () => {
  const strangers = Array.from({ length: 40 }, (_, i) => `eve${i}`)
  for (const from of strangers) for (const seq of [2, 3, 4]) receive(seq, { from, body: big.slice(1) })
  for (const [i, body] of whole.entries()) {
    receive(i + 1, { body })
    for (let other = 0; other < 100; other++) receive(2, { from: `mal${i} ${other}`, body: big })
  }
  expect(handed).toHaveLength(1)
})

test('[WD12] a message in fragments gets through while strangers hold first fragments of messages that they never complete', () => {
  const strangers = Array.from({ length: 40 }, (_, i) => `eve${i}`)
  for (const from of strangers)
    for (const seq of [1, 2, 3]) receive(seq, { from, body: whole[seq - 1] ?? '' })
  for (const [i, body] of whole.entries()) {
    receive(i + 1, { body })
    // Duplicates and messages behind a gap are not progress.
    for (const from of strangers.slice(-20)) for (const seq of [1, 5, 6]) receive(seq, { from, body: big })
  }
  expect(handed).toHaveLength(1)
})

test('[WD12] fragments that came behind a gap, which was then closed, are bounded, too', () => {
  // Three fragments arrive behind a gap. A new base then closes the gap. The fourth fragment never comes.
  const strangers = Array.from({ length: 60 }, (_, i) => `eve${i}`)
  for (const from of strangers) {
    for (const seq of [2, 3, 4]) receive(seq, { from, body: whole[seq - 2] ?? '' })
    receive(50, { from, base: 2, body: 'x' })
  }
  for (const from of strangers) receive(5, { from, base: 2, body: whole[3] ?? '' })
  expect(handed.length).toBeLessThanOrEqual((4 * 1024 * 1024) / (3 * big.length))
  expect(handed.length).toBeGreaterThan(20)
})

test('[WD12] making room for a message takes the same number of steps, however many senders have waiting messages', () => {
  const stepsWith = (senders: number): number => {
    inbox = open()
    const body = 'x'.repeat((4 * 1024 * 1024) / senders - 256)
    for (let i = 0; i < senders; i++) receive(2, { from: `eve${i}`, body })
    const iterators = [new Map().values(), new Set().values()].map((one): object =>
      Object.getPrototypeOf(one),
    )
    let steps = 0
    const spies = iterators.map((prototype) => {
      const next: unknown = Reflect.get(prototype, 'next')
      if (typeof next !== 'function') throw new TypeError('an iterator without next')
      return vi.spyOn(prototype as Iterator<unknown>, 'next').mockImplementation(function (this: unknown) {
        steps++
        return Reflect.apply(next, this, [])
      })
    })
    receive(2, { from: 'mal', body })
    for (const spy of spies) spy.mockRestore()
    return steps
  }
  const few = stepsWith(100)
  expect(stepsWith(1_000)).toBeLessThan(few + 10)
})

test('[WD12] empty waiting messages are bounded, too', () => {
  for (let sender = 0; sender < 1_000; sender++)
    for (let seq = 2; seq <= 64; seq++) receive(seq, { from: `eve${sender}`, body: '' })
  for (let sender = 0; sender < 1_000; sender++) receive(1, { from: `eve${sender}`, body: '' })
  expect(handed.length - 1_000).toBeLessThanOrEqual((4 * 1024 * 1024) / 256)
})

test('[WD12] the waiting messages of a holder are dropped at its end; its handed-over messages are not handed over again', () => {
  receive(1)
  receive(3)
  receive(1, { since: 4, stream: 'another_one', body: 'of the next' })
  receive(2)
  receive(1)
  expect(handed).toEqual(['1', 'of the next', '2'])
})

test('[WD12] waiting messages are bounded in characters, and dropped ones make room', () => {
  listening = false
  const body = 'x'.repeat(48 * 1024)
  for (let sender = 0; sender < 200; sender++) receive(1, { from: `p${sender}`, body })
  listening = true
  inbox.drain()
  const fitting = Math.floor((4 * 1024 * 1024) / (body.length + 256))
  expect(handed).toHaveLength(fitting)
  for (let sender = 0; sender < 200; sender++) receive(1, { from: `p${sender}`, body })
  expect(handed).toHaveLength(200)
})

test('[WD15] the acknowledgement goes over the carrier of the message, else through the server', async () => {
  let open = true
  const channel: Carrier = {
    send: (frame) => {
      if (open && frame.type === 'ack')
        acks.push(frame.acks.map((one) => ({ ...one, stream: 'over the channel' })))
      return open
    },
  }
  receive(1, {}, channel)
  expect(acks.flat()).toMatchObject([{ stream: 'over the channel', next: 2 }])
  open = false
  await clock.advance(20)
  receive(2, {}, channel)
  expect(acks.flat()).toMatchObject([{}, { stream: 'streamofann', next: 3 }])
})

test('[WD9] messages that were given up make room', () => {
  const body = 'x'.repeat(48 * 1024)
  for (let round = 0; round < 10; round++)
    for (let seq = 2; seq <= 60; seq++) receive(round * 100 + seq, { base: round * 100 + 1, body })
  receive(2_000, { base: 2_000, body: 'the last' })
  expect(handed).toEqual(['the last'])
  for (let sender = 0; sender < 50; sender++) receive(1, { from: `p${sender}`, body })
  expect(handed).toHaveLength(51)
  listening = false
  for (let sender = 0; sender < 80; sender++) receive(2, { from: `p${sender}`, base: 2, body })
  listening = true
  inbox.drain()
  expect(handed).toHaveLength(51 + 80)
})

test('[WD17] a message in fragments is handed over as a whole, and acknowledged then; an incomplete one is not handed over', async () => {
  receive(1, { body: 'p3"a' })
  receive(3, { body: 'p0c"' })
  receive(4, { body: 'four' })
  expect(handed).toEqual([])
  expect(nexts().every((next) => next === 1)).toBe(true)
  receive(2, { body: 'p0b' })
  expect(handed).toEqual(['"abc"', 'four'])
  await clock.advance(20)
  expect(nexts().at(-1)).toBe(5)
  // The first fragment was given up: the rest is skipped, and does not hold up the next message.
  receive(6, { base: 6, body: 'p0tail' })
  receive(7, { base: 6, body: 'seven' })
  expect(handed.slice(2)).toEqual(['seven'])
})

test('[WD19] an unreadable message is acknowledged as unreadable, also when it comes again, until it is settled; others are not affected', async () => {
  unreadable = (body) => body === '2' || body === '4'
  for (let seq = 1; seq <= 5; seq++) receive(seq)
  expect(handed).toEqual(['1', '3', '5'])
  await clock.advance(20)
  const ack = { to: 'ann', stream: 'streamofann' }
  // The lowest bit stands for seq 5, the next ones for 4, 3, 2 and 1. Seqs 4 and 2 could not be read.
  expect(acks.flat()).toEqual([
    { ...ack, next: 2 },
    { ...ack, next: 6, unread: 'a' },
  ])
  receive(2)
  await clock.advance(20)
  expect(acks.flat().at(-1)).toEqual({ ...ack, next: 6, unread: 'a' })
  receive(6, { base: 4 })
  await clock.advance(20)
  expect(acks.flat().at(-1)).toEqual({ ...ack, next: 7, unread: '4' })
  receive(7, { base: 7 })
  await clock.advance(20)
  expect(acks.flat().at(-1)).toEqual({ ...ack, next: 8 })
})

test('[WD19] a whole window of unreadable messages takes 16 digits, and further messages push out the oldest bits', async () => {
  unreadable = () => true
  for (let seq = 1; seq <= 100; seq++) receive(seq, { base: Math.max(1, seq - 63) })
  await clock.advance(20)
  expect(acks.flat().at(-1)).toMatchObject({ next: 101, unread: 'f'.repeat(16) })
  // This sender never settles anything. The number of digits does not grow.
  for (let seq = 101; seq <= 300; seq++) receive(seq)
  await clock.advance(20)
  expect(acks.flat().at(-1)).toMatchObject({ next: 301, unread: 'f'.repeat(16) })
})

test('[WD7] [WD19] a reloaded page still reports the unreadable messages', async () => {
  unreadable = () => true
  receive(1)
  unreadable = () => false
  receive(2)
  await clock.advance(20)
  inbox = open(inbox.seen())
  acks.length = 0
  receive(1)
  await clock.advance(20)
  expect(acks.flat()).toMatchObject([{ next: 3, unread: '2' }])
  // Stored values are checked like any other input.
  for (const wrong of ['x', '', 'f'.repeat(17)]) {
    inbox = open([[nameFrom('ann'), 'streamofann', 3, clock.now(), wrong]])
    acks.length = 0
    receive(1)
    await clock.advance(20)
    expect(acks.flat()).toEqual([{ to: 'ann', stream: 'streamofann', next: 3 }])
  }
})

test('[WD17] [WD19] all fragments of an unreadable message count as unreadable, and so do fragments that no SDK sends', async () => {
  unreadable = (body) => body === 'whole' || body === 'p2alone'
  receive(1, { body: 'p2who' })
  receive(2, { body: 'p0le' })
  await clock.advance(20)
  expect(acks.flat().at(-1)).toMatchObject({ next: 3, unread: '3' })
  // The first fragment is followed by a whole message. Later a fragment arrives without a first one.
  receive(3, { base: 3, body: 'p2alone' })
  receive(4, { base: 3, body: 'p0rest' })
  receive(5, { base: 3, body: 'p2alone' })
  receive(6, { base: 3, body: 'fine' })
  receive(7, { base: 7, body: 'p0rest' })
  await clock.advance(20)
  expect(handed).toEqual(['alonerest', 'fine'])
  expect(acks.flat().at(-1)).toMatchObject({ next: 8, unread: '1' })
})
