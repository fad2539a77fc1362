import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Order, Report } from './protocol.js'
import { openDesk, type WorkerLike } from './storage-desk.js'
import { workerSource } from './worker-source.js'

class FakeWorker implements WorkerLike {
  readonly orders: Order[] = []
  isTerminated = false
  #onReport: (event: { data: Report }) => void = () => {}
  #onError: () => void = () => {}

  postMessage(message: Order): void {
    this.orders.push(message)
  }
  addEventListener(type: string, listener: (event: { data: Report }) => void): void {
    if (type === 'message') this.#onReport = listener
    if (type === 'error') this.#onError = () => listener({ data: { type: 'ready', hasFiles: false } })
  }
  terminate(): void {
    this.isTerminated = true
  }
  report(data: Report): void {
    this.#onReport({ data })
  }
  fail(): void {
    this.#onError()
  }
}

const text = new File(['hello'], 'hello.txt', { type: 'text/plain', lastModified: 9 })
const helloHash = createHash('sha256').update('hello').digest()

test('[FT71] answers come to the questions of their numbers, and failures become errors', async () => {
  const worker = new FakeWorker()
  const opening = openDesk(() => worker)
  worker.report({ type: 'ready', hasFiles: true })
  const desk = await opening
  expect([desk.isInWorker, desk.hasFiles, desk.trouble]).toEqual([true, true, undefined])
  const [first, second] = [
    desk.ask('list', { folder: 'a' }),
    desk.ask('remove', { folder: 'b', id: 1 }).catch((error: unknown) => error),
  ]
  const failure = { kind: 'store', reason: 'full', message: 'no room' } as const
  worker.report({ type: 'done', id: 2, outcome: { ok: false, failure } })
  worker.report({ type: 'done', id: 1, outcome: { ok: true, answer: [] } })
  expect(await first).toEqual([])
  expect(await second).toMatchObject({ name: 'StoreError', reason: 'full', message: 'no room' })
})

test('[FT71] without a worker the page reads and hashes, says why, and refuses to keep files', async () => {
  const failing = new FakeWorker()
  const opening = openDesk(() => failing)
  failing.fail()
  const refused = openDesk(() => {
    throw new Error('refused')
  })
  for (const desk of [await opening, await refused]) {
    expect([desk.isInWorker, desk.hasFiles]).toEqual([false, false])
    expect(desk.trouble).toMatch(/memory/)
    const { hash } = await workerSource(desk, text, 'a/hello.txt').readBlock(0)
    expect(Buffer.from(hash).equals(helloHash)).toBe(true)
    await expect(desk.ask('list', { folder: 'a' })).rejects.toMatchObject({ name: 'StoreError' })
  }
  expect(failing.isTerminated).toBe(true)
})

test('[FT71] if the worker stops, what it was asked for fails, and so does what comes later', async () => {
  const worker = new FakeWorker()
  const opening = openDesk(() => worker)
  worker.report({ type: 'ready', hasFiles: true })
  const desk = await opening
  const source = workerSource(desk, text, 'hello.txt')
  const reading = source.readBlock(0).catch((error: unknown) => error)
  worker.fail()
  expect(await reading).toMatchObject({ name: 'SourceError', reason: 'unreadable' })
  await expect(desk.ask('sweep', { before: 0 })).rejects.toThrow('Reload the page')
})

test('[FT77] a source has the facts of its file, and a block beyond a changed size is refused', async () => {
  const desk = await openDesk(() => {
    throw new Error('refused')
  })
  expect(workerSource(desk, text, 'a/hello.txt').info).toEqual({
    path: 'a/hello.txt',
    size: 5,
    type: 'text/plain',
    modifiedAt: 9,
  })
  const asked = desk.ask('read', { file: text, index: 0, size: 6 })
  await expect(asked).rejects.toMatchObject({ name: 'SourceError', reason: 'changed' })
})
