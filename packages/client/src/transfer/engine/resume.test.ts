import { expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, FakePeer, MIB } from '../../testing/fake-transfers.js'
import { FakeSource, isEqual, someBytes } from '../../testing/fake-files.js'
import { seededRandom } from '../../testing/random.js'
import type { SharedFile } from '../sharing.js'

/** A shared file, as a host offers it before and after a reload. */
const shared = (source: FakeSource, id = 7): SharedFile & { source: FakeSource } => ({
  id,
  ...source.info,
  source,
})

const namesOf = (peer: FakePeer, direction: 'in' | 'out'): string[] =>
  peer.files(direction).map(({ state }) => state.name)

/** Cuts the conduit when the receiver keeps this block. */
function cutAt(pair: FakePair, block: number): void {
  pair.b.store.beforePut = async (_, index) => {
    if (index === block) pair.cut()
  }
}

test('[FT1] [FT6] after a cut, only what is missing is sent again', async () => {
  const pair = new FakePair()
  cutAt(pair, 5)
  await pair.attach()
  const [source] = await pair.send(20 * MIB)
  expect([pair.a.states(), pair.b.states()]).toEqual([['accepted'], ['accepted']])
  pair.b.store.beforePut = async () => undefined
  await pair.attach({ random: seededRandom(2) })
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
  // The block that was being written when the conduit broke is not asked for again.
  expect(pair.said.b.filter(({ type }) => type === 'need')).toEqual([
    { type: 'need', file: pair.a.files()[0]?.id, size: 20 * MIB, ranges: [[6, 14]] },
  ])
  expect(isEqual(pair.b.store.finished.get('files/0.bin'), source?.bytes)).toBe(true)
})

test('[FT1] a transfer that is broken at each of its messages arrives unchanged', async () => {
  const pair = new FakePair()
  const [source] = pair.a.offer(2.5 * MIB)
  let count = 0
  for (let i = 0; i < 200 && pair.a.states()[0] !== 'complete'; i++) {
    const last = 3 + 2 * i
    count = 0
    await pair.attach({
      random: seededRandom(i + 1),
      messageBytesMax: 64 * 1_024,
      tap: (message) => {
        if (++count === last) pair.cut()
        return message
      },
    })
    pair.b.acceptAll()
    await settled()
  }
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
  expect(isEqual(pair.b.store.finished.get('files/0.bin'), source?.bytes)).toBe(true)
})

test('[FT6] a conduit that was detached is never listened to again', async () => {
  const pair = new FakePair()
  await pair.attach()
  const old = pair.conduits
  pair.conduits = undefined
  await pair.attach()
  pair.a.offer(5)
  await settled()
  old?.inject('b', JSON.stringify({ type: 'offer', files: [{ id: 1, path: 'old', size: 1, type: '' }] }))
  await settled()
  expect(pair.b.files().map(({ path }) => path)).toEqual(['files/0.bin'])
})

test('[FT6] what happened while no conduit was attached is told at the next attach', async () => {
  const pair = new FakePair()
  await pair.attach()
  pair.a.offer(1, 2, 3, 4)
  pair.b.offer(5)
  await settled()
  pair.cut()
  const { transfer } = pair.b
  const [one = '', two = '', three = ''] = pair.b.files('in').map(({ key }) => key)
  transfer.accept([one, three])
  transfer.reject([two])
  transfer.pause([three])
  pair.a.transfer.cancel(pair.a.keys().slice(3, 4))
  pair.a.offer(6)
  pair.a.transfer.sendText('while you were away')
  await pair.attach()
  expect(namesOf(pair.a, 'out')).toEqual(['complete', 'ended', 'paused', 'ended', 'offered'])
  expect(namesOf(pair.b, 'in')).toEqual(['complete', 'ended', 'paused', 'ended', 'offered'])
  expect(pair.b.texts().map(({ text }) => text)).toEqual(['while you were away'])
})

test('[FT5] [FT6] a `done` that was lost is said again', async () => {
  const pair = new FakePair()
  await pair.attach({
    tap: (message) => {
      if (typeof message === 'string' && message.includes('"done"')) {
        pair.cut()
        return false
      }
      return message
    },
  })
  await pair.send(MIB)
  expect([pair.a.states(), pair.b.states()]).toEqual([['checking'], ['complete']])
  await pair.attach()
  expect(pair.a.states()).toEqual(['complete'])
})

test('[FT1] [FT15] after a reload of the receiver, a durable store goes on with what it has', async () => {
  const pair = new FakePair()
  cutAt(pair, 4)
  await pair.attach()
  await pair.send(9 * MIB)
  const { store } = pair.b
  pair.b = new FakePeer(pair.clock, store)
  store.beforePut = async () => undefined
  await pair.attach()
  expect([pair.a.states(), pair.b.states()]).toEqual([['offered'], ['offered']])
  pair.b.acceptAll()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
  expect(store.opened[1]?.puts).toEqual([5, 6, 7, 8])
})

test('[FT6] a receiver that reloads after the end sees the files again, and the sender remembers', async () => {
  const pair = new FakePair()
  await pair.attach()
  await pair.send(5)
  pair.b = new FakePeer(pair.clock)
  await pair.attach()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['offered']])
  pair.b.acceptAll()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
})

test('[FT22] after a reload of the sender, it hashes what the receiver has, and sends the rest', async () => {
  const pair = new FakePair()
  const bytes = someBytes(9 * MIB, 1)
  pair.a.transfer.offerShared([shared(new FakeSource('x', bytes))])
  cutAt(pair, 4)
  await pair.attach()
  pair.b.acceptAll()
  await settled()
  pair.b.store.beforePut = async () => undefined
  pair.a = new FakePeer(pair.clock)
  const source = new FakeSource('x', bytes)
  pair.a.transfer.offerShared([shared(source)])
  let payload = 0
  await pair.attach({
    tap: (message) => {
      if (typeof message !== 'string' && message[0] === 1) payload += message.length - 13
      return message
    },
  })
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
  expect(payload).toBe(4 * MIB)
  expect([...new Set(source.reads)].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  expect(isEqual(pair.b.store.finished.get('x'), bytes)).toBe(true)
})

test.each([
  ['in its content', 9 * MIB],
  ['in its size', 8 * MIB],
])(
  '[FT14] a file that changed %s while its sender reloaded ends as changed on both sides',
  async (_, size) => {
    const pair = new FakePair()
    pair.a.transfer.offerShared([shared(new FakeSource('x', someBytes(9 * MIB, 1)))])
    cutAt(pair, 4)
    await pair.attach()
    pair.b.acceptAll()
    await settled()
    pair.b.store.beforePut = async () => undefined
    pair.a = new FakePeer(pair.clock)
    pair.a.transfer.offerShared([shared(new FakeSource('x', someBytes(size, 2)))])
    await pair.attach()
    expect([pair.a.states(), pair.b.states()]).toEqual([['ended: file-changed'], ['ended: file-changed']])
    expect(pair.b.store.partial.size).toBe(0)
    expect(pair.b.store.finished.size).toBe(0)
  },
)

test('[FT14] a block that is read twice and differs ends the file as changed', async () => {
  const pair = new FakePair()
  cutAt(pair, 4)
  await pair.attach()
  const [source] = await pair.send(9 * MIB)
  pair.b.store.beforePut = async () => undefined
  source?.bytes.fill(9)
  await pair.attach()
  expect([pair.a.states(), pair.b.states()]).toEqual([['ended: file-changed'], ['ended: file-changed']])
})

test('[FT23] a shared file without a source stands as paused until it is chosen again', async () => {
  const pair = new FakePair()
  const source = new FakeSource('x', someBytes(3 * MIB, 1))
  pair.a.transfer.offerShared([{ ...shared(source), source: undefined }])
  await pair.attach()
  expect(pair.b.files()[0]?.state).toEqual({ name: 'offered', isMissing: true })
  pair.b.acceptAll()
  await settled()
  await pair.clock.advance(300_000)
  expect([pair.a.states(), pair.b.states()]).toEqual([['paused'], ['paused']])
  pair.a.transfer.resume()
  await settled()
  const paused = { name: 'paused', isMissing: true }
  expect(pair.a.files()[0]?.state).toEqual({ ...paused, here: true, there: false })
  expect(pair.b.files()[0]?.state).toEqual({ ...paused, here: false, there: true })
  pair.b.transfer.pause()
  pair.a.transfer.provide(7, source)
  await settled()
  expect(pair.b.files()[0]?.state).toEqual({ name: 'paused', here: true, there: false })
  pair.b.transfer.resume()
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
})

test('[FT23] a file that is shared without a source while a conduit is attached stands as paused at once', async () => {
  const pair = new FakePair()
  await pair.attach()
  const source = new FakeSource('x', someBytes(3, 1))
  pair.a.transfer.offerShared([{ ...shared(source), source: undefined }])
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['paused'], ['offered']])
  pair.b.acceptAll()
  await settled()
  expect(pair.b.states()).toEqual(['paused'])
  pair.a.transfer.offerShared([shared(source)])
  await settled()
  expect([pair.a.states(), pair.b.states()]).toEqual([['complete'], ['complete']])
})

test('[FT22] a receiver that goes on with a file which is not shared any more hears so', async () => {
  const pair = new FakePair()
  pair.a.transfer.offerShared([shared(new FakeSource('x', someBytes(9 * MIB, 1)))])
  cutAt(pair, 4)
  await pair.attach()
  pair.b.acceptAll()
  await settled()
  pair.a = new FakePeer(pair.clock)
  await pair.attach()
  expect(pair.b.states()).toEqual(['ended: stopped'])
  expect(pair.b.detail()).toBe('the file is not shared any more')
})

test('[FT9] pauses hold over a new conduit', async () => {
  const pair = new FakePair()
  await pair.attach()
  pair.a.offer(5, 6)
  await settled()
  pair.b.acceptAll()
  pair.b.transfer.pause()
  await settled()
  await pair.attach()
  expect([pair.a.states(), pair.b.states()]).toEqual([
    ['paused', 'paused'],
    ['paused', 'paused'],
  ])
  pair.cut()
  pair.b.transfer.resume()
  await pair.attach()
  expect([pair.a.states(), pair.b.states()]).toEqual([
    ['complete', 'complete'],
    ['complete', 'complete'],
  ])
})
