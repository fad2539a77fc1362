import { expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, MIB } from '../../testing/fake-transfers.js'

test('[FT9] a paused file stops, others go on, and it goes on where it was', async () => {
  for (const side of ['a', 'b'] as const) {
    const pair = new FakePair()
    const one = (): string[] => pair[side].keys().slice(0, 1)
    pair.b.store.beforePut = async ({ path }, index) => {
      if (path === 'files/0.bin' && index === 4) pair[side].transfer.pause(one())
    }
    await pair.attach()
    await pair.send(30 * MIB, 2 * MIB)
    expect(pair.a.states()).toEqual(['paused', 'complete'])
    expect(pair.b.files()[0]?.state).toEqual({ name: 'paused', here: side === 'b', there: side === 'a' })
    expect(pair.a.files()[0]?.state).toEqual({ name: 'paused', here: side === 'a', there: side === 'b' })
    pair.b.store.beforePut = async () => undefined
    pair[side].transfer.resume()
    await settled()
    expect([pair.a.states(), pair.b.states()]).toEqual([
      ['complete', 'complete'],
      ['complete', 'complete'],
    ])
    expect(pair.b.store.opened[0]?.puts).toEqual(Array.from({ length: 30 }, (_, i) => i))
  }
}, 60_000)

test('[FT9] what both sides have paused goes on when both have resumed it', async () => {
  const pair = new FakePair()
  await pair.attach()
  pair.a.offer(5)
  await settled()
  pair.a.transfer.pause()
  pair.b.acceptAll()
  pair.b.transfer.pause()
  await settled()
  expect(pair.a.files()[0]?.state).toEqual({ name: 'paused', here: true, there: true })
  pair.a.transfer.resume()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['paused'], ['paused']])
  pair.b.transfer.resume()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
})

test('[FT18] a receiver that holds lets nothing come', async () => {
  const pair = new FakePair()
  pair.b.transfer.hold(true)
  await pair.attach()
  await pair.send(3 * MIB)
  await pair.clock.advance(300_000)
  expect([pair.a.states(), pair.b.states()]).toEqual([['accepted'], ['accepted']])
  expect(pair.b.files()[0]?.bytesDone).toBe(0)
  pair.b.transfer.hold(false)
  await settled()
  expect(pair.b.states()).toEqual(['complete'])
})

test('[FT11] [FT21] a receiver that writes nothing lets 8 MiB come, and the sender shows what was kept', async () => {
  const pair = new FakePair()
  const waiting: (() => void)[] = []
  let isSlow = true
  pair.b.store.beforePut = async () => {
    if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve))
  }
  let payload = 0
  await pair.attach({
    tap: (message) => {
      if (typeof message !== 'string' && message[0] === 1) payload += message.length - 13
      return message
    },
  })
  const [source] = await pair.send(40 * MIB)
  expect(payload).toBeLessThanOrEqual(8 * MIB)
  expect(payload).toBeGreaterThan(7 * MIB)
  expect(pair.a.files()[0]?.bytesDone).toBe(0)
  waiting.shift()?.()
  await settled()
  expect(pair.a.files()[0]?.bytesDone).toBe(MIB)
  expect(payload).toBeLessThanOrEqual(9 * MIB)
  // [FT12] What was sent, one block more, and two ahead.
  expect(source?.reads.length).toBeLessThanOrEqual(12)
  isSlow = false
  waiting.shift()?.()
  await settled()
  expect(pair.b.states()).toEqual(['complete'])
  expect(pair.b.transfer.mostInMemory.held).toBeLessThanOrEqual(8 * MIB)
  expect(pair.b.transfer.mostInMemory.assembled).toBeLessThanOrEqual(9 * MIB)
})

test('[FT12] the sender reads at most two blocks ahead of the one that it sends', async () => {
  const pair = new FakePair()
  pair.b.transfer.hold(true)
  await pair.attach()
  const [source] = await pair.send(10 * MIB)
  expect(source?.reads).toEqual([0, 1, 2])
})
