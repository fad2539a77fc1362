import { expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, FakePeer, MIB } from '../../testing/fake-transfers.js'
import { FakeSource, FakeStore, someBytes } from '../../testing/fake-files.js'
import { StoreError } from '../types.js'
import { seededRandom } from '../../testing/random.js'

test.each([
  [
    'open',
    (store: FakeStore) => (store.openError = new StoreError('bad-name', 'the name is not possible here')),
  ],
  [
    'finish',
    (store: FakeStore) => (store.finishError = new StoreError('bad-name', 'the name is not possible here')),
  ],
])('[FT24] a place that fails at %s ends the file on both sides', async (_, fail) => {
  const pair = new FakePair()
  fail(pair.b.store)
  await pair.attach()
  await pair.send(5)
  expect([pair.a.states(), pair.b.states()]).toEqual([['ended: error-there'], ['ended: error-here']])
  expect([pair.a.detail(), pair.b.detail()]).toEqual(
    Array.from({ length: 2 }, () => 'the name is not possible here'),
  )
})

test('files go both ways at once, also to a store of their own', async () => {
  const pair = new FakePair()
  await pair.attach({ random: seededRandom(5) })
  const other = new FakeStore()
  pair.a.offer(5 * MIB)
  pair.b.offer(4 * MIB)
  await settled()
  const into = (peer: FakePeer): string[] => peer.files('in').map(({ key }) => key)
  pair.a.transfer.accept(into(pair.a), other)
  pair.b.transfer.accept(into(pair.b))
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([
    ['complete', 'complete'],
    ['complete', 'complete'],
  ])
  expect([other.finished.size, pair.a.store.finished.size, pair.b.store.finished.size]).toEqual([1, 0, 1])
})

test('[FT26] finished items can be removed, and others cannot', async () => {
  const pair = new FakePair()
  await pair.attach()
  await pair.send(5)
  pair.a.offer(6)
  pair.a.transfer.sendText('hello')
  await settled()
  for (const { transfer } of [pair.a, pair.b]) {
    transfer.remove(transfer.state.items.map(({ key }) => key))
    expect(transfer.state.items.map((item) => item.kind === 'file' && item.size)).toEqual([6])
  }
  await pair.attach()
  expect(pair.b.states()).toEqual(['offered'])
})

test('[FT27] listeners hear of each change soon, and of progress ten times a second', async () => {
  const pair = new FakePair()
  await pair.attach()
  let calls = 0
  const stop = pair.b.transfer.onChange(() => calls++)
  pair.b.transfer.onChange(() => {
    throw new Error('a listener fails')
  })
  pair.a.offer(50 * MIB)
  await settled()
  expect(calls).toBe(1)
  expect(pair.b.errors).toEqual([new Error('a listener fails')])
  pair.b.acceptAll()
  await settled()
  expect(pair.b.states()).toEqual(['complete'])
  expect(calls).toBeLessThan(10)
  await pair.clock.advance(1_000)
  const before = calls
  stop()
  pair.a.offer(5)
  await pair.clock.advance(1_000)
  expect(calls).toBe(before)
})

test('the speed is that of the last seconds, and falls to 0', async () => {
  const pair = new FakePair()
  const waiting: (() => void)[] = []
  pair.b.store.beforePut = () => new Promise<void>((resolve) => waiting.push(resolve))
  await pair.attach()
  await pair.send(30 * MIB)
  for (let i = 0; i < 10; i++) {
    waiting.shift()?.()
    await pair.clock.advance(1_000)
  }
  for (const progress of [pair.a.transfer.state.out, pair.b.transfer.state.in]) {
    expect(progress.bytesDone).toBe(10 * MIB)
    expect(progress.bytesPerSecond).toBeGreaterThan(0.7 * MIB)
    expect(progress.bytesPerSecond).toBeLessThan(1.3 * MIB)
    expect(progress.secondsLeft).toBeGreaterThan(15)
    expect(progress.secondsLeft).toBeLessThan(28)
  }
  expect(pair.b.files()[0]?.state).toEqual({ name: 'accepted', isMoving: true })
  await pair.clock.advance(10_000)
  expect(pair.b.transfer.state.in).toMatchObject({ bytesPerSecond: 0, secondsLeft: undefined })
  expect(pair.b.files()[0]?.state).toEqual({ name: 'accepted', isMoving: false })
  expect(pair.a.files()[0]?.state).toEqual({ name: 'accepted', isMoving: false })
})

test('a closed transfer leaves no timer, keeps what a durable store has, and ends its files', async () => {
  const pair = new FakePair()
  pair.b.store.beforePut = async (_, index) => {
    if (index === 3) await new Promise<void>(() => undefined)
  }
  await pair.attach()
  await pair.send(5 * MIB)
  pair.b.transfer.close()
  pair.a.transfer.close()
  await settled()
  expect(pair.b.states()).toEqual(['ended: self-offline'])
  expect([...pair.b.store.partial.values()].map(({ blocks }) => blocks.size)).toEqual([3])
  await pair.clock.advance(1_000)
  expect(pair.clock.pending).toBe(0)
})

test('a conduit for messages of less than 16 KiB is refused', () => {
  const { transfer } = new FakePeer(new FakePair().clock)
  const conduit = { messageBytesMax: 1_000, send: async () => undefined, onMessage: () => () => undefined }
  expect(() => transfer.attach(conduit)).toThrow(
    new RangeError('conduit.messageBytesMax: 1000; must be at least 16384 bytes'),
  )
})

test('what a source has in its `info` beyond the known fields is not told', async () => {
  const pair = new FakePair()
  await pair.attach()
  const source = new FakeSource('a', someBytes(3, 1))
  Object.assign(source.info, { secretFolder: 'private', modifiedAt: NaN })
  pair.a.transfer.offer([source])
  await settled()
  expect(JSON.stringify(pair.said.a)).not.toContain('secret')
  expect(pair.b.states()).toEqual(['offered'])
})
