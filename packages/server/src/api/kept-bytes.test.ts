import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { appOf } from '../testing/peerjs-fixture.js'
import { KeptBytes } from './kept-bytes.js'

const [chat, games] = [appOf('chat'), appOf('games')]
const HOUR = 3_600_000

test('[API11] what an app has stored in 24 hours is bounded, and each app has its own bound', async () => {
  const clock = new FakeClock()
  const kept = new KeptBytes(clock, 100)
  kept.add(chat, 60)
  await clock.advance(2 * HOUR)
  kept.add(chat, 30)
  expect(kept.fullMs(chat, 10)).toBe(0)
  expect(kept.fullMs(games, 100)).toBe(0)
  const fullMs = kept.fullMs(chat, 11)
  expect(fullMs).toBeGreaterThan(21 * HOUR)
  expect(fullMs).toBeLessThanOrEqual(22 * HOUR)
  await clock.advance(fullMs)
  expect(kept.fullMs(chat, 70)).toBe(0)
  expect(kept.fullMs(chat, 71)).toBeGreaterThan(0)
  await clock.advance(100 * HOUR)
  expect(kept.fullMs(chat, 100)).toBe(0)
})

test('[API11] what was removed again gives its room back', () => {
  const kept = new KeptBytes(new FakeClock(), 100)
  kept.add(chat, 100)
  expect(kept.fullMs(chat, 1)).toBeGreaterThan(0)
  kept.add(chat, -100)
  expect(kept.fullMs(chat, 100)).toBe(0)
})
