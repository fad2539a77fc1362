import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { Message, Outcome } from '@peerage/core'
import { newPeer } from '@peerage/test-support/testing/core.js'
import { expect, test } from 'vitest'
import { Pairs } from './frames.js'

/** A router whose look-ups are answered when the test says so. */
function scene() {
  const routed: string[] = []
  const settled: string[] = []
  const dropped: string[] = []
  const lookups: (() => void)[] = []
  const pairs = new Pairs({
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
    /** All look-ups come back, and what waited behind them goes. */
    answer: async () => {
      while (lookups.length > 0) {
        lookups.shift()?.()
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
}

const from = newPeer()

function letter(to: Message['to'], frame: string): Message {
  return { from, to, wire: 'peerjs', kind: 'signal', frame }
}

test('[PJ16] behind one look-up at most 256 messages wait, in order; there is room again when it is over', async () => {
  const { pairs, routed, settled, dropped, answer } = scene()
  const to = newPeer()
  for (let n = 0; n < 300; n++) pairs.route(letter(to, `${n}`))
  expect(routed).toEqual(['0'])
  expect(dropped).toEqual(Array.from({ length: 43 }, (_, n) => `${n + 257}`))
  // Others have their own.
  const other = newPeer()
  pairs.route(letter(other, 'first'))
  pairs.route(letter(other, 'second'))
  expect(dropped).toHaveLength(43)
  await answer()
  const all = Array.from({ length: 257 }, (_, n) => `${n}`)
  expect(routed.filter((frame) => /^\d/u.test(frame))).toEqual(all)
  expect(settled).toHaveLength(259)
  pairs.route(letter(to, 'again'))
  pairs.route(letter(to, 'behind it'))
  expect(dropped).toHaveLength(43)
  await answer()
})

test('[PJ16] behind all look-ups of a node at most 20,000 messages wait, and then as many again', async () => {
  const { pairs, dropped, answer } = scene()
  for (let round = 1; round <= 2; round++) {
    for (let pair = 0; pair < 80; pair++) {
      const to = newPeer()
      for (let n = 0; n <= 256; n++) pairs.route(letter(to, ''))
    }
    expect(dropped).toHaveLength(round * (80 * 256 - 20_000))
    await answer()
  }
})

test('[PJ16] and 16 MiB, counted in bytes, and given back as they go', async () => {
  const { pairs, dropped, answer } = scene()
  // A MiB of UTF-8, a third of it in characters.
  const frame = '€'.repeat((1024 * 1024 - 1) / 3)
  for (let round = 1; round <= 2; round++) {
    for (let pair = 0; pair < 20; pair++) {
      const to = newPeer()
      pairs.route(letter(to, ''))
      pairs.route(letter(to, frame))
    }
    expect(dropped).toHaveLength(round * 4)
    await answer()
  }
})
