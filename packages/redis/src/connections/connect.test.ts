import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { open, reconnectOnReadOnly } from './connect.js'

// ioredis's connect rejects, and its status becomes `end`, when Sentinel announces a failover while the client
// resolves the master. Regression: this happened in about one of ten failovers, and that client never came back.
test('[F8] a connection that ends while it is wanted connects again, until it is closed', async () => {
  const clock = new FakeClock()
  const client = new Redis({ lazyConnect: true })
  let connects = 0
  client.connect = () => {
    connects++
    return Promise.reject(new Error('Connection is closed.'))
  }
  const close = open(client, clock)
  expect(connects).toBe(1)
  for (let round = 2; round < 5; round++) {
    client.emit('end')
    await clock.advance(1_000)
    expect(connects).toBe(round)
  }
  client.emit('end')
  close()
  client.emit('end')
  await clock.advance(10_000)
  expect(connects).toBe(4)
  expect(clock.pending).toBe(0)
})

// Regression: a node whose URL led to a read-only replica connected to it about 25 times a second.
test('a refused write leads to a new connection at once, and then at most once a second', async () => {
  const clock = new FakeClock()
  const isDue = reconnectOnReadOnly(clock)
  const readOnly = new Error("READONLY You can't write against a read only replica.")
  expect(isDue(new Error('OOM command not allowed'))).toBe(false)
  expect(isDue(readOnly)).toBe(true)
  await clock.advance(999)
  expect(isDue(readOnly)).toBe(false)
  await clock.advance(1)
  expect(isDue(readOnly)).toBe(true)
})
