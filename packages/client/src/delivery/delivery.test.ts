import { expect, test } from 'vitest'
import { Delivery } from './delivery.js'
import type { Frame } from './signaling.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { nameFrom } from '../testing/fake-page.js'

const ann = { name: nameFrom('ann'), since: 1 }
const bob = { name: nameFrom('bob'), since: 2 }

function open(): { delivery: Delivery; handed: unknown[]; sent: Frame[] } {
  const handed: unknown[] = []
  const sent: Frame[] = []
  const delivery = new Delivery({
    clock: new FakeClock(),
    random: () => 0.5,
    streamId: () => 'streamofann',
    server: { send: (frame) => sent.push(frame) > 0 },
    lookup: async () => ({ state: 'online', since: bob.since }),
    watch: () => {},
    unwatch: () => {},
    listens: () => true,
    hand: ({ from, since, body }) => handed.push([from, since, body]) > 0,
    streamMs: 60_000,
    self: () => ann,
    seen: [],
  })
  return { delivery, handed, sent }
}

const frame = {
  type: 'send',
  to: 'ann',
  since: ann.since,
  stream: 'streamofbob',
  seq: 1,
  base: 1,
  kind: 'message',
  body: 'x',
}
const nowhere = { send: () => true }

test('[WD13] the sender of a frame is the one that the carrier knows, whatever the frame says', () => {
  const { delivery, handed } = open()
  expect(delivery.receive(bob, { ...frame, from: 'eve' }, nowhere)).toBe(true)
  expect(handed).toEqual([['bob', 2, 'x']])
})

test('[WD13] a frame for another holder of this name, or a malformed one, is refused', () => {
  const { delivery, handed } = open()
  const others = [
    { ...frame, since: 3 },
    { ...frame, seq: -1 },
    { ...frame, stream: 'short' },
    { ...frame, body: 7 },
    { ...frame, type: 'welcome' },
    { type: 'ack' },
    { type: 'ack', acks: [null] },
    { type: 'ack', acks: [{ to: 'ann', stream: 'streamofann', next: -1 }] },
    null,
    'send',
    [],
  ]
  for (const other of others) expect(delivery.receive(bob, other, nowhere)).toBe(false)
  expect(handed).toEqual([])
})

test('[WD13] [WD15] an acknowledgement over a carrier counts only for messages to the peer at its other end', async () => {
  const { delivery } = open()
  let end: string | undefined
  const message = { to: bob.name, kind: 'message', body: 'x', via: 'server', deadlineMs: 1_000 } as const
  void delivery.outbox.send(message).then((result) => (end = result))
  await settled()
  const ack = { type: 'ack', acks: [{ to: 'ann', stream: 'streamofann', next: 2 }] }
  expect(delivery.receive({ name: nameFrom('eve'), since: 9 }, ack, nowhere)).toBe(true)
  await settled()
  expect(end).toBeUndefined()
  delivery.receive(bob, ack, nowhere)
  await settled()
  expect(end).toBe('delivered')
  void delivery.outbox.send(message).then((result) => (end = result))
  await settled()
  const unread = { ...ack, acks: [{ ...ack.acks[0], next: 3, unread: '1' }] }
  // [WD19] `unread` has the same meaning over a channel as over the server.
  delivery.receive(bob, unread, nowhere)
  await settled()
  expect(end).toBe('incompatible')
  delivery.close()
})
