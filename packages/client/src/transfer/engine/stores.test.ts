import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { systemClock } from '../../lib/clock.js'
import { fakeConduits } from '../../testing/fake-conduit.js'
import { isEqual, someBytes } from '../../testing/fake-files.js'
import { seededRandom } from '../../testing/random.js'
import { BLOCK_BYTES, SourceError, StoreError } from '../types.js'
import { blobSource } from './blob-source.js'
import { sha256 } from '../hash.js'
import { HashList } from './hash-list.js'
import { memoryStore } from './memory-store.js'
import { Transfer } from './transfer.js'

const sha = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(bytes).digest())

test('SHA-256 is the same with and without `crypto.subtle`', async () => {
  const bytes = someBytes(100_000, 1)
  expect(await sha256(bytes)).toEqual(sha(bytes))
  const { crypto } = globalThis
  Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true })
  try {
    expect(await sha256(bytes)).toEqual(sha(bytes))
  } finally {
    Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true })
  }
})

test('[FT4] the root is over the size and all hashes', () => {
  const size = 5_000 * BLOCK_BYTES - 7
  const hashes = new HashList(5_000)
  const head = Buffer.alloc(8)
  head.writeBigUInt64BE(BigInt(size))
  const hash = createHash('sha256').update(head)
  const each = Array.from({ length: 5_000 }, (_, i) => sha(Uint8Array.of(i, i >> 8)))
  for (const one of each) hash.update(one)
  for (let i = 4_999; i >= 0; i--) hashes.set(i, each[i] ?? new Uint8Array(32))
  expect(hashes.root(size)).toEqual(new Uint8Array(hash.digest()))
  expect(new HashList(0).root(0)).toEqual(sha(new Uint8Array(8)))
  expect(() => new HashList(1).root(1)).toThrow('no hash is known')
})

test('a blob source reads the blocks of a file, and says what it is', async () => {
  const bytes = someBytes(2.5 * BLOCK_BYTES, 1)
  const source = blobSource(new File([bytes], 'a.bin', { type: 'x/y', lastModified: 5 }), 'folder/a.bin')
  expect(source.info).toEqual({ path: 'folder/a.bin', size: bytes.length, type: 'x/y', modifiedAt: 5 })
  for (let i = 0; i < 3; i++) {
    const block = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
    const read = await source.readBlock(i)
    expect(Buffer.from(read.bytes).equals(block)).toBe(true)
    expect(read.hash).toEqual(sha(block))
  }
})

test('[FT14] [FT24] a blob source tells a file that shrank from one that cannot be read', async () => {
  const failing = new File(['abc'], 'a')
  failing.slice = () => {
    throw new DOMException('gone', 'NotFoundError')
  }
  const gone = await blobSource(failing)
    .readBlock(0)
    .catch((error: unknown) => error)
  expect(gone).toBeInstanceOf(SourceError)
  expect(gone).toMatchObject({ reason: 'unreadable', message: expect.stringContaining('moved or deleted') })
  const short = new File(['abc'], 'a')
  short.slice = () => new Blob(['a'])
  await expect(blobSource(short).readBlock(0)).rejects.toMatchObject({ reason: 'changed' })
})

test('a memory store checks blocks, makes a Blob, and refuses what does not fit', async () => {
  const store = memoryStore(3 * BLOCK_BYTES)
  const bytes = someBytes(1.5 * BLOCK_BYTES, 1)
  const file = { id: 1, path: 'a', size: bytes.length, type: 'x/y' }
  const block = (i: number): { bytes: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer> } => {
    const part = bytes.slice(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
    return { bytes: part, hash: sha(part) }
  }
  const first = await store.open(file, 's')
  expect(await first.put(1, block(1))).toBe(true)
  expect(await first.put(0, { ...block(0), hash: new Uint8Array(32) })).toBe(false)
  expect(await first.put(0, block(0))).toBe(true)
  const second = await store.open({ ...file, id: 2 }, 's')
  await second.put(0, block(0))
  const third = await store.open({ ...file, id: 3 }, 's')
  await expect(third.put(0, block(0))).rejects.toBeInstanceOf(StoreError)
  await second.discard()
  expect(await third.put(0, block(0))).toBe(true)
  const received = await first.finish()
  if (received.kind !== 'blob') throw new Error('not a blob')
  expect(received.blob.type).toBe('x/y')
  expect(Buffer.from(await received.blob.arrayBuffer()).equals(bytes)).toBe(true)
})

test('[FT5] a `File` arrives as a `Blob` by real hashes and real timers', async () => {
  const errors: unknown[] = []
  const report = (error: unknown): unknown => errors.push(error)
  const make = (): Transfer =>
    new Transfer({
      store: memoryStore(20 * BLOCK_BYTES),
      share: 's',
      clock: systemClock,
      onError: report,
      onBroken: report,
    })
  const [a, b] = [make(), make()]
  const conduits = fakeConduits({ random: seededRandom(1) })
  const bytes = someBytes(12.3 * BLOCK_BYTES, 1)
  a.offer([blobSource(new File([bytes], 'a.bin', { type: 'x/y' }))])
  const complete = new Promise<Blob>((resolve) => {
    b.onChange(() => {
      const [item] = b.state.items
      if (item?.kind !== 'file') return
      if (item.state.name === 'offered') b.accept([item.key])
      if (item.state.name === 'complete' && item.state.received?.kind === 'blob')
        resolve(item.state.received.blob)
    })
  })
  a.attach(conduits.a)
  b.attach(conduits.b)
  const blob = await complete
  expect(isEqual(new Uint8Array(await blob.arrayBuffer()), bytes)).toBe(true)
  expect(errors).toEqual([])
  a.close()
  b.close()
}, 60_000)
