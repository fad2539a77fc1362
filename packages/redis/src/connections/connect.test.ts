import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { open } from './connect.js'

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
