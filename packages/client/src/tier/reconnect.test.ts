import { expect, test } from 'vitest'
import { reconnectDelayMs } from './reconnect.js'

const JUST_BELOW_1 = 1 - Number.EPSILON

test('[WL1] the first wait is anywhere within a second, and each next range is twice as long, up to 20 s', () => {
  const most = Array.from({ length: 8 }, (_, attempt) => Math.round(reconnectDelayMs(attempt, JUST_BELOW_1)))
  expect(most).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000])
  for (let attempt = 0; attempt < 60; attempt++) expect(reconnectDelayMs(attempt, 0)).toBe(0)
})

test('[WL2] the first wait is the time that a node named; if the node goes on refusing, jitter is added', () => {
  expect(reconnectDelayMs(0, JUST_BELOW_1, 700)).toBe(700)
  expect(Math.round(reconnectDelayMs(3, JUST_BELOW_1, 700))).toBe(8_700)
})

test('[WL2] if a node names more than five minutes, the wait is five minutes; an invalid time is ignored', () => {
  for (const ms of [300_001, 1e15, Infinity]) expect(reconnectDelayMs(0, JUST_BELOW_1, ms)).toBe(300_000)
  for (const ms of [-1, -1e15, NaN]) expect(Math.round(reconnectDelayMs(1, JUST_BELOW_1, ms))).toBe(2_000)
})
