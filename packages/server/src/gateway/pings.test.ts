import { expect, test } from 'vitest'
import { Pings } from './pings.js'

const KB = 1024

function peer() {
  return {
    sent: 0,
    takes: true,
    sendPing(): boolean {
      if (this.takes) this.sent++
      return this.takes
    },
  }
}

/** Others send in frames of 16 KB, as long as they need not wait. */
function fill(pings: Pings, to: ReturnType<typeof peer>): number {
  let bytes = 0
  for (; !pings.isBehind; bytes += 16 * KB) pings.relayed(16 * KB, to)
  return bytes
}

test('[C4] a ping follows every 32 KB of others; they wait while 256 KB have no answer', () => {
  const [pings, to] = [new Pings(), peer()]
  expect(fill(pings, to)).toBe((256 + 16) * KB)
  expect(to.sent).toBe(8)
  expect(pings.answered()).toBe(true)
  expect(pings.isBehind).toBe(false)
  expect(fill(pings, to)).toBe(32 * KB)
})

test('[C4] a frame that is longer than what is left goes through, and is answered for', () => {
  const [pings, to] = [new Pings(), peer()]
  pings.relayed(1_000 * KB, to)
  expect(pings.isBehind).toBe(true)
  while (pings.isBehind) expect(pings.answered()).toBe(true)
  expect(fill(pings, to)).toBeGreaterThan(0)
})

test('[C4] who is behind and answers nothing between two pings of the heartbeat reads nothing', () => {
  const [pings, to] = [new Pings(), peer()]
  fill(pings, to)
  expect(pings.beat(to)).toBe(true)
  pings.answered()
  fill(pings, to)
  expect(pings.beat(to)).toBe(true)
  expect(pings.beat(to)).toBe(false)
})

test('[C3] the heartbeat asks once an interval; a mark without an answer asks already', () => {
  const [pings, to] = [new Pings(), peer()]
  for (let n = 0; n < 3; n++) pings.beat(to)
  expect(to.sent).toBe(3)
  pings.relayed(32 * KB, to)
  expect(to.sent).toBe(4)
  pings.beat(to)
  expect(to.sent).toBe(4)
})

test('[R4] each ping may be answered once, however late, and no more', () => {
  const [pings, to] = [new Pings(), peer()]
  for (let n = 0; n < 2; n++) pings.beat(to)
  pings.relayed(32 * KB, to)
  expect([1, 2, 3, 4].map(() => pings.answered())).toEqual([true, true, true, false])
})

test('[C4] a mark that found no room goes out with the next heartbeat', () => {
  const [pings, to] = [new Pings(), peer()]
  to.takes = false
  pings.relayed(300 * KB, to)
  expect([pings.isBehind, pings.answered()]).toEqual([true, false])
  to.takes = true
  expect(pings.beat(to)).toBe(true)
  while (pings.answered());
  expect(pings.isBehind).toBe(false)
})
