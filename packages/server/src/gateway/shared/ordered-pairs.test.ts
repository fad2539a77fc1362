import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { Message, Outcome } from '@peerage/core'
import { newPeer } from '@peerage/test-support/testing/core.js'
import { expect, test } from 'vitest'
import { OrderedPairs } from './ordered-pairs.js'

/** A router whose lookups are answered when `answer` is called. */
function setUp() {
  const routed: string[] = []
  const settled: string[] = []
  const dropped: string[] = []
  const lookups: (() => void)[] = []
  const pairs = new OrderedPairs({
    router: {
      route: (message) => {
        routed.push(message.frame)
        return new Promise<Outcome>((resolve) => lookups.push(() => resolve('delivered')))
      },
      knows: () => lookups.length === 0,
    },
    clock: new FakeClock(),
    settled: (message) => void settled.push(message.frame),
    dropped: (message) => void dropped.push(message.frame),
    onError: (error) => expect.unreachable(String(error)),
  })
  return {
    pairs,
    routed,
    settled,
    dropped,
    /** Answers all lookups, so that the messages that waited for them are routed. */
    answer: async () => {
      while (lookups.length > 0) {
        lookups.shift()?.()
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
}

const from = newPeer()

function messageTo(to: Message['to'], frame: string): Message {
  return { from, to, wire: 'peerjs', kind: 'signal', frame }
}

test('[PJ16] at most 256 messages wait for one lookup, in order, and after it there is room again', async () => {
  const { pairs, routed, settled, dropped, answer } = setUp()
  const to = newPeer()
  for (let n = 0; n < 300; n++) pairs.route(messageTo(to, `${n}`))
  expect(routed).toEqual(['0'])
  expect(dropped).toEqual(Array.from({ length: 43 }, (_, n) => `${n + 257}`))
  // Another pair has its own queue.
  const other = newPeer()
  pairs.route(messageTo(other, 'first'))
  pairs.route(messageTo(other, 'second'))
  expect(dropped).toHaveLength(43)
  await answer()
  const all = Array.from({ length: 257 }, (_, n) => `${n}`)
  expect(routed.filter((frame) => /^\d/u.test(frame))).toEqual(all)
  expect(settled).toHaveLength(259)
  pairs.route(messageTo(to, 'again'))
  pairs.route(messageTo(to, 'behind it'))
  expect(dropped).toHaveLength(43)
  await answer()
})

test('[PJ16] at most 20,000 messages wait for all lookups of a node, and after these as many again', async () => {
  const { pairs, dropped, answer } = setUp()
  for (let round = 1; round <= 2; round++) {
    for (let pair = 0; pair < 80; pair++) {
      const to = newPeer()
      for (let n = 0; n <= 256; n++) pairs.route(messageTo(to, ''))
    }
    expect(dropped).toHaveLength(round * (80 * 256 - 20_000))
    await answer()
  }
})

test('[PJ16] at most 16 MiB wait for all lookups of a node, and after these as much again', async () => {
  const { pairs, dropped, answer } = setUp()
  // 1 MiB in UTF-8, but only a third as many characters.
  const frame = '€'.repeat((1024 * 1024 - 1) / 3)
  for (let round = 1; round <= 2; round++) {
    for (let pair = 0; pair < 20; pair++) {
      const to = newPeer()
      pairs.route(messageTo(to, ''))
      pairs.route(messageTo(to, frame))
    }
    expect(dropped).toHaveLength(round * 4)
    await answer()
  }
})
