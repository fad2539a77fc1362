import { createHash } from 'node:crypto'
import { PassThrough, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import type { Block, OfferedFile } from '../types.js'
import { streamStore } from './stream-store.js'

const file: OfferedFile = { id: 1, path: 'a.txt', size: 6, type: '' }
function block(text: string): Block {
  const bytes = new Uint8Array(Buffer.from(text))
  return { bytes, hash: new Uint8Array(createHash('sha256').update(bytes).digest()) }
}

test('[FT89] blocks go into a stream in order, and only whole ones', async () => {
  const stream = new PassThrough()
  const target = await streamStore(stream).open(file, 'share')
  expect(target.inOrder).toBe(true)
  expect(await target.put(1, block('def'))).toBe(false)
  expect(await target.put(0, { ...block('abc'), hash: block('x').hash })).toBe(false)
  expect(await target.put(0, block('abc'))).toBe(true)
  expect(await target.put(0, block('abc'))).toBe(false)
  expect(await target.put(1, block('def'))).toBe(true)
  await target.finish()
  expect(stream.read().toString()).toBe('abcdef')
})

test('[FT89] a block counts when the stream has room for more', async () => {
  const written: (() => void)[] = []
  const stream = new Writable({ highWaterMark: 1, write: (_, __, done) => void written.push(done) })
  const target = await streamStore(stream).open(file, 'share')
  let isDone = false
  const putting = target.put(0, block('abc')).then(() => (isDone = true))
  await new Promise(setImmediate)
  expect([written.length, isDone]).toEqual([1, false])
  written[0]?.()
  await putting
  expect(stream.listenerCount('error')).toBe(0)
})

test('[FT89] a stream that ends early is a failure, and a file of which a part was written is not begun again', async () => {
  const stream = new Writable({ highWaterMark: 1, write: () => {} })
  stream.on('error', () => {})
  const store = streamStore(stream)
  const target = await store.open(file, 'share')
  const putting = target.put(0, block('abc'))
  stream.destroy(Object.assign(new Error('gone'), { code: 'EPIPE' }))
  await expect(putting).rejects.toMatchObject({ name: 'StoreError', reason: 'failed' })
  await expect(target.put(0, block('abc'))).rejects.toThrow('a.txt: the stream is closed')
  await expect(store.open(file, 'share')).rejects.toThrow('already has a part of another try')
})

test('[FT89] bytes that a stream has taken and could not pass on do not count', async () => {
  const full = Object.assign(new Error('no room'), { code: 'ENOSPC' })
  const stream = new Writable({
    highWaterMark: 1_000,
    write: (_, __, done) => setImmediate(() => done(full)),
  })
  const target = await streamStore(stream).open(file, 'share')
  await expect(target.put(0, block('abc'))).rejects.toMatchObject({
    name: 'StoreError',
    reason: 'full',
    message: 'a.txt: the disk is full',
  })
  await expect(target.put(0, block('abc'))).rejects.toThrow('a.txt: the stream is closed')
})
