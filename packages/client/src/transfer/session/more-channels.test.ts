import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { beforeEach, expect, test } from 'vitest'
import { MoreChannels } from './more-channels.js'
import type { Measured } from './more-channels.js'

const MIB = 1024 * 1024

let clock: FakeClock
let rttMs: number | undefined
let left: { in: number; out: number }
let channels: Measured['channels']
let asked: number
let opened: number
let changed: () => void
let more: MoreChannels

beforeEach(() => {
  clock = new FakeClock()
  rttMs = 0
  left = { in: 0, out: 0 }
  asked = opened = 0
  channels = connection()
  more = moreOf(4)
})

function connection(): Measured['channels'] {
  const info = async (): Promise<{ rttMs: number | undefined }> => {
    asked++
    return { rttMs }
  }
  return { first: { info } }
}

function moreOf(count: number): MoreChannels {
  const session: Measured = {
    get channels() {
      return channels
    },
    transfer: {
      get bytesLeft() {
        return left
      },
      onChange: (listener) => {
        changed = listener
        return () => (changed = () => undefined)
      },
    },
  }
  return new MoreChannels({ count, rttMs: 5, bytesLeft: 16 * MIB }, session, clock, () => opened++)
}

/** Something of the transfer has changed. */
async function change(): Promise<void> {
  changed()
  await clock.advance(0)
}

test('[FT66] more channels open once for each connection, if the way is long and much is to be moved', async () => {
  rttMs = 20
  left = { in: 10 * MIB, out: 6 * MIB }
  await change()
  expect([asked, opened]).toEqual([0, 0])
  left = { in: 10 * MIB, out: 6 * MIB + 1 }
  await change()
  await change()
  expect([asked, opened]).toEqual([1, 1])
  channels = connection()
  await change()
  expect([asked, opened]).toEqual([2, 2])
  channels = undefined
  await change()
  expect(opened).toBe(2)
})

test('[FT66] the round trip is read again while bytes move', async () => {
  left = { in: 100 * MIB, out: 0 }
  await change()
  for (let i = 0; i < 5; i++) await change()
  expect([asked, opened]).toEqual([1, 0])
  rttMs = undefined
  await clock.advance(1_000)
  expect([asked, opened]).toEqual([2, 0])
  rttMs = 5
  await clock.advance(1_000)
  expect([asked, opened]).toEqual([3, 1])
  expect(clock.pending).toBe(0)
})

test('[FT66] with one channel, or after the end, nothing is asked', async () => {
  left = { in: 100 * MIB, out: 0 }
  await change()
  more.close()
  expect(clock.pending).toBe(0)
  await change()
  expect(asked).toBe(1)
  more = moreOf(1)
  await change()
  expect(asked).toBe(1)
})
