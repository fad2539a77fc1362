import type { BackendEvent } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { Health } from './health.js'

const COMMAND_MS = 800

/** The health of a node whose connections never come about. Its clock's timers fire 1 ms early, as Node's may. */
function newHealth() {
  const clock = new FakeClock()
  const events: BackendEvent[] = []
  const health = new Health({
    client: new Redis({ lazyConnect: true }),
    publishing: { connected: false, publish: () => Promise.reject(new Error('not connected')) },
    subscriptions: {
      active: false,
      connected: false,
      want: () => Promise.resolve(),
      drop: () => undefined,
      clients: () => [],
      rebuild: () => undefined,
      canaries: () => [],
    },
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (ms, task) => clock.after(ms - 1, task),
    },
    beatMs: 5_000,
    commandMs: COMMAND_MS,
    inbox: () => undefined,
    onEvent: (event) => events.push(event),
    onCanary: () => undefined,
    onError: (error) => expect.unreachable(String(error)),
  })
  return { clock, events, health }
}

test('a start that ends without a connection has reported why', async () => {
  const { clock, events, health } = newHealth()
  const started = health.start()
  await clock.advance(2 * COMMAND_MS + 10)
  await started
  expect(events).toEqual([{ type: 'health', healthy: false, why: 'not connected to Redis' }])
  health.stop()
  expect(clock.pending).toBe(0)
})

test('a start that is not yet over reports no ailment', async () => {
  const { clock, events, health } = newHealth()
  const started = health.start()
  await clock.advance(500)
  expect(events).toEqual([])
  await clock.advance(2 * COMMAND_MS)
  await started
  health.stop()
})
