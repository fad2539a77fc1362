import { expect, test } from 'vitest'
import { Marks } from './frame-writer.js'

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
function fill(marks: Marks, to: ReturnType<typeof peer>): number {
  let bytes = 0
  for (; !marks.isBehind; bytes += 16 * KB) marks.relayed(16 * KB, to)
  return bytes
}

test('[C4] a ping follows every 32 KB of others; they wait while 256 KB have no answer', () => {
  const [marks, to] = [new Marks(256 * KB), peer()]
  expect(fill(marks, to)).toBe((256 + 16) * KB)
  expect(to.sent).toBe(8)
  expect(marks.answered()).toBe(true)
  expect(marks.isBehind).toBe(false)
  expect(fill(marks, to)).toBe(32 * KB)
})

test('[C4] a frame that is longer than what is left goes through, and is answered for', () => {
  const [marks, to] = [new Marks(256 * KB), peer()]
  marks.relayed(1_000 * KB, to)
  expect(marks.isBehind).toBe(true)
  while (marks.isBehind) expect(marks.answered()).toBe(true)
  expect(fill(marks, to)).toBeGreaterThan(0)
})

test('[C4] who is behind and answers nothing between two beats reads nothing', () => {
  const [marks, to] = [new Marks(256 * KB), peer()]
  fill(marks, to)
  expect(marks.beat(to)).toBe(true)
  marks.answered()
  fill(marks, to)
  expect(marks.beat(to)).toBe(true)
  marks.reads()
  expect(marks.beat(to)).toBe(true)
  expect(marks.beat(to)).toBe(false)
})

test('[R4] each mark may be answered once, however late, and no more', () => {
  const [marks, to] = [new Marks(256 * KB), peer()]
  expect(marks.answered()).toBe(false)
  for (let n = 0; n < 2; n++) marks.relayed(32 * KB, to)
  expect(marks.isOut).toBe(true)
  expect([1, 2, 3].map(() => marks.answered())).toEqual([true, true, false])
  expect(marks.isOut).toBe(false)
})

test('[C4] a mark that found no room goes out with the next heartbeat', () => {
  const [marks, to] = [new Marks(256 * KB), peer()]
  to.takes = false
  marks.relayed(300 * KB, to)
  expect([marks.isBehind, marks.answered()]).toEqual([true, false])
  to.takes = true
  expect(marks.beat(to)).toBe(true)
  while (marks.answered());
  expect(marks.isBehind).toBe(false)
})
