import { expect, test, vi } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, MIB } from '../../testing/fake-transfers.js'
import { FakeSource, isEqual } from '../../testing/fake-files.js'
import { seededRandom } from '../../testing/random.js'

test('[FT1] [FT4] [FT5] files of all sizes arrive, and are complete on both sides', async () => {
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
}, 60_000)

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
}, 60_000)

test('[FT25] at most 32 places are open at once, or as many as the store allows', async () => {
  for (const openMax of [undefined, 1]) {
    const pair = new FakePair()
    pair.b.store.openMax = openMax
    let most = 0
    pair.b.store.beforePut = async () => {
      most = Math.max(most, pair.b.store.opened.filter(({ state }) => state === 'open').length)
    }
    await pair.attach()
    await pair.send(...Array.from({ length: 80 }, () => 100))
    expect(pair.b.states()).toEqual(Array.from({ length: 80 }, () => 'complete'))
    expect(most).toBe(openMax ?? 32)
  }
})

test('[FT25] a store with one place opens the next one only after the one before is closed', async () => {
  const pair = new FakePair()
  pair.b.store.openMax = 1
  let discard = (): void => undefined
  pair.b.store.beforeDiscard = () => new Promise<void>((resolve) => (discard = resolve))
  pair.b.store.beforePut = async () => pair.a.transfer.cancel(pair.a.keys().slice(0, 1))
  await pair.attach()
  await pair.send(3 * MIB, 5)
  expect(pair.b.states()).toEqual(['ended: cancelled-there', 'accepted'])
  expect(pair.b.store.opened).toHaveLength(1)
  pair.b.store.beforePut = async () => undefined
  discard()
  await settled()
  expect(pair.b.states()).toEqual(['ended: cancelled-there', 'complete'])
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
}, 60_000)

test('[FT12] [FT13] blocks that were sent and messages that were read give their memory back', async () => {
  const posted = vi.spyOn(MessagePort.prototype, 'postMessage')
  const pair = new FakePair()
  await pair.attach()
  const [source] = await pair.send(3.5 * MIB)
  expect(pair.b.states()).toEqual(['complete'])
  expect(isEqual(pair.b.store.finished.get('files/0.bin'), source?.bytes)).toBe(true)
  // Four blocks, and eight parts of each but the last.
  expect(posted.mock.calls.length).toBeGreaterThanOrEqual(4 + 28)
  posted.mockRestore()
})
