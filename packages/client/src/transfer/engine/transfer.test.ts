import { expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, FakePeer, MIB } from '../../testing/fake-transfers.js'
import { FakeSource, FakeStore, someBytes } from '../../testing/fake-files.js'
import { StoreError } from '../types.js'
import { seededRandom } from '../../testing/random.js'

const isEqual = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.from(a).equals(b)

test('[FT1, FT4, FT5] files of all sizes arrive, and are complete on both sides', async () => {
  const pair = new FakePair()
  await pair.attach()
  const sizes = [0, 1, MIB - 1, MIB, MIB + 1, 20.5 * MIB]
  const sources = await pair.send(...sizes)
  expect(pair.a.states()).toEqual(sizes.map(() => 'complete'))
  expect(pair.b.states()).toEqual(sizes.map(() => 'complete'))
  for (const { info, bytes } of sources)
    expect(isEqual(pair.b.store.finished.get(info.path), bytes)).toBe(true)
  expect(pair.b.files()[3]?.state).toEqual({
    name: 'complete',
    received: { kind: 'saved', where: 'files/3.bin' },
  })
  expect(pair.errors).toEqual([])
})

test('[FT3] binary messages that overtake all others make no difference', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const pair = new FakePair()
    await pair.attach({ random: seededRandom(seed), messageBytesMax: 16 * 1_024 })
    const sources = await pair.send(3.5 * MIB, 0, 10, 2 * MIB)
    expect(pair.b.states(), `seed ${seed}`).toEqual(['complete', 'complete', 'complete', 'complete'])
    for (const { info, bytes } of sources)
      expect(isEqual(pair.b.store.finished.get(info.path), bytes)).toBe(true)
  }
})

test('[FT2] an offer of 5,000 files goes in messages of bounded size, and all files arrive', async () => {
  const pair = new FakePair()
  await pair.attach({ messageBytesMax: 64 * 1_024 })
  const long = 'é'.repeat(200)
  const files = Array.from(
    { length: 5_000 },
    (_, i) => new FakeSource(`${long}/${i}`, new Uint8Array([i % 256])),
  )
  pair.a.transfer.offer(files)
  await settled()
  expect(pair.b.files().map(({ path }) => path)).toEqual(files.map(({ info }) => info.path))
  pair.b.acceptAll()
  await settled()
  await pair.clock.advance(1_000)
  expect(pair.a.transfer.state.out.filesComplete).toBe(5_000)
  expect(pair.b.transfer.state.in).toMatchObject({ files: 5_000, filesComplete: 5_000, bytes: 5_000 })
  expect(pair.errors).toEqual([])
})

test('[FT25] at most 16 places are open at once', async () => {
  const pair = new FakePair()
  let most = 0
  pair.b.store.beforePut = async () => {
    most = Math.max(most, pair.b.store.opened.filter(({ state }) => state === 'open').length)
  }
  await pair.attach()
  await pair.send(...Array.from({ length: 60 }, () => 100))
  expect(pair.b.states()).toEqual(Array.from({ length: 60 }, () => 'complete'))
  expect(most).toBe(16)
})

test('[FT5] a file is not complete at the sender before the receiver has made it available', async () => {
  const pair = new FakePair()
  let finish = (): void => undefined
  pair.b.store.beforeFinish = () => new Promise<void>((resolve) => (finish = resolve))
  await pair.attach()
  await pair.send(1.5 * MIB)
  expect([pair.a.states(), pair.b.states()]).toEqual([['checking'], ['checking']])
  expect(pair.a.files()[0]?.bytesDone).toBe(1.5 * MIB)
  finish()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
})

test('[FT10] a file that is being made available becomes complete although either side cancels it', async () => {
  const pair = new FakePair()
  let finish = (): void => undefined
  pair.b.store.beforeFinish = () => new Promise<void>((resolve) => (finish = resolve))
  await pair.attach()
  await pair.send(10)
  pair.b.transfer.cancel(pair.b.keys())
  pair.a.transfer.cancel(pair.a.keys())
  await settled()
  finish()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['ended: cancelled-here'], ['complete']])
})

test('[FT10] files that are not wanted end as rejected, and others arrive', async () => {
  const pair = new FakePair()
  let accepted = 0
  pair.a.transfer.onAccepted(() => accepted++)
  await pair.attach()
  pair.a.offer(10, 20, 30)
  await settled()
  const [first = '', second = '', third = ''] = pair.b.keys()
  pair.b.transfer.reject([first, third])
  await settled()
  expect(accepted).toBe(0)
  pair.b.transfer.accept([second])
  await settled()
  expect(accepted).toBe(1)
  expect(pair.a.states()).toEqual(['ended: rejected', 'complete', 'ended: rejected'])
  expect(pair.b.states()).toEqual(['ended: rejected', 'complete', 'ended: rejected'])
})

test.each(['a', 'b'] as const)(
  '[FT10] %s cancels one file in its middle, and the next one arrives',
  async (side) => {
    const pair = new FakePair()
    pair.b.store.beforePut = async ({ path }, index) => {
      if (path === 'files/0.bin' && index === 2) pair[side].transfer.cancel(pair[side].keys().slice(0, 1))
    }
    await pair.attach({ random: seededRandom(3) })
    const [, second] = await pair.send(12 * MIB, 3 * MIB)
    const [here, there] = side === 'a' ? ['here', 'there'] : ['there', 'here']
    expect(pair.a.states()).toEqual([`ended: cancelled-${here}`, 'complete'])
    expect(pair.b.states()).toEqual([`ended: cancelled-${there}`, 'complete'])
    expect(pair.b.store.opened[0]?.state).toBe('discarded')
    expect(isEqual(pair.b.store.finished.get('files/1.bin'), second?.bytes)).toBe(true)
  },
)

test('[FT24] a full disk ends one file on both sides with the same sentence, and the next one arrives', async () => {
  const pair = new FakePair()
  pair.b.store.beforePut = async ({ path }, index) => {
    if (path === 'files/0.bin' && index === 3) throw new StoreError('full', 'the disk is full')
  }
  await pair.attach()
  await pair.send(9 * MIB, 2 * MIB)
  expect(pair.b.states()).toEqual(['ended: error-here', 'complete'])
  expect(pair.a.states()).toEqual(['ended: error-there', 'complete'])
  expect([pair.a.detail(), pair.b.detail()]).toEqual(['the disk is full', 'the disk is full'])
  expect(pair.errors).toEqual([])
})

test('[FT15, FT24] after an error the file can be accepted again, and goes on where it was', async () => {
  const pair = new FakePair()
  let isFull = true
  pair.b.store.beforePut = async (_, index) => {
    if (isFull && index === 3) throw new StoreError('full', 'the disk is full')
  }
  await pair.attach()
  await pair.send(5 * MIB)
  expect(pair.b.states()).toEqual(['ended: error-here'])
  isFull = false
  pair.b.acceptAll()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
  expect(pair.b.store.opened[1]?.puts).toEqual([3, 4])
})

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

test('[FT24] a source that cannot be read ends one file on both sides, and the next one arrives', async () => {
  const pair = new FakePair()
  await pair.attach()
  const [first] = pair.a.offer(4 * MIB, 4 * MIB)
  if (first !== undefined) first.error = new Error('a fault of the program')
  await settled()
  pair.b.acceptAll()
  await settled()
  expect(pair.a.states()).toEqual(['ended: error-here', 'complete'])
  expect(pair.b.states()).toEqual(['ended: error-there', 'complete'])
  expect(pair.a.errors).toEqual([first?.error])
})

test('[FT14] a file that changes while it is sent ends on both sides, and nothing of it is kept', async () => {
  const pair = new FakePair()
  await pair.attach()
  const [first] = pair.a.offer(8 * MIB, 2 * MIB)
  pair.b.store.beforePut = async (_, index) => {
    if (index === 2 && first !== undefined) first.bytes = first.bytes.subarray(0, 100)
  }
  await settled()
  pair.b.acceptAll()
  await settled()
  expect(pair.a.states()).toEqual(['ended: file-changed', 'complete'])
  expect(pair.b.states()).toEqual(['ended: file-changed', 'complete'])
  expect(pair.b.store.partial.size).toBe(0)
})

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
})

test('[FT9] what both sides have paused goes on when both have resumed it', async () => {
  const pair = new FakePair()
  await pair.attach()
  pair.a.offer(5)
  await settled()
  pair.a.transfer.pause()
  pair.b.transfer.pause()
  pair.b.acceptAll()
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

test('[FT11, FT21] a receiver that writes nothing lets 8 MiB come, and the sender shows what was kept', async () => {
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

test('[FT19] files that cannot be offered say why, and others are offered', async () => {
  const pair = new FakePair()
  await pair.attach()
  const huge = new FakeSource('huge', new Uint8Array(0))
  huge.info.size = 2 ** 52 + 1
  pair.a.transfer.offer([
    huge,
    new FakeSource('x'.repeat(1_025), new Uint8Array(1)),
    new FakeSource('', new Uint8Array(1)),
    new FakeSource('fine', new Uint8Array(1)),
  ])
  await settled()
  expect(pair.a.states()).toEqual([...Array.from({ length: 3 }, () => 'ended: error-here'), 'offered'])
  expect([0, 1, 2].map((i) => pair.a.detail(i))).toEqual([
    'the file is larger than 4 PiB',
    'the path is longer than 1024 characters',
    'the file has no name',
  ])
  expect(pair.b.files().map(({ path }) => path)).toEqual(['fine'])
  await pair.attach()
  expect(pair.b.files().map(({ path }) => path)).toEqual(['fine'])
  expect(pair.errors).toEqual([])
})

test('[FT19] a file that is larger than the store ends at once on both sides', async () => {
  const pair = new FakePair()
  pair.b.store.bytesMax = 100
  await pair.attach()
  await pair.send(101, 100)
  expect(pair.b.states()).toEqual(['ended: error-here', 'complete'])
  expect(pair.a.states()).toEqual(['ended: error-there', 'complete'])
  expect(pair.a.detail()).toBe('the file is too large: at most 100 bytes can be stored here')
})

test('[FT20] the file that is one too many is not offered', async () => {
  const pair = new FakePair()
  await pair.attach()
  const empty = new Uint8Array(0)
  pair.a.transfer.offer(Array.from({ length: 10_001 }, (_, i) => new FakeSource(`${i}`, empty)))
  await settled()
  expect(pair.a.detail(10_000)).toBe('only 10000 files can be offered')
  expect(pair.b.files()).toHaveLength(10_000)
  expect(pair.errors).toEqual([])
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

test('[FT10] `end` ends all unfinished files on both sides', async () => {
  const pair = new FakePair()
  await pair.attach()
  await pair.send(5)
  pair.a.offer(6)
  pair.b.offer(7)
  await settled()
  pair.a.transfer.end('stopped', 'the share was stopped')
  await settled()
  expect(pair.a.states()).toEqual(['complete', 'ended: stopped', 'ended: stopped'])
  expect(pair.b.states()).toEqual(['complete', 'ended: stopped', 'ended: stopped'])
  expect(pair.b.detail(1)).toBe('the share was stopped')
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
  Object.assign(source.info, { secretFolder: '/home/x' })
  pair.a.transfer.offer([source])
  await settled()
  expect(JSON.stringify(pair.said.a)).not.toContain('secret')
})
