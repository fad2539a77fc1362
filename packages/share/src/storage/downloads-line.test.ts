import { createHash } from 'node:crypto'
import { afterEach, expect, test, vi } from 'vitest'
import type { Store, Target } from '@peerage/client/transfer'
import { downloads } from './downloads-line.js'
import { downloadStore } from './sinks.js'
import { downloadWorld, type DownloadWorld } from './testing/download-world.js'
import { pageDesk } from './testing/page-desk.js'

const FILE = { id: 1, path: 'a/grüße (1)*.txt', size: 10, type: 'text/html' }
const blockOf = (text: string) => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, hash: Uint8Array.from(createHash('sha256').update(bytes).digest()) }
}

async function begin(world: DownloadWorld): Promise<Target> {
  const store: Store = downloadStore(await pageDesk(), downloads(world.host))
  return store.open(FILE, 's')
}

async function nextOf(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string | undefined> {
  const { value } = await reader.read()
  return value && new TextDecoder().decode(value)
}

function readerOf({ answers: [answer] }: DownloadWorld): ReadableStreamDefaultReader<Uint8Array> {
  if (answer?.body === undefined || answer.body === null) throw new Error('no download')
  return answer.body.getReader()
}

afterEach(() => vi.useRealTimers())

test('[FT75] the browser gets the bytes as they come, with a name and a size, and never as a page', async () => {
  const world = downloadWorld()
  const target = await begin(world)
  expect(world.answers).toEqual([])
  const putting = target.put(0, blockOf('hello'))
  await vi.waitFor(() => expect(world.answers).toHaveLength(1))
  const reader = readerOf(world)
  expect(await nextOf(reader)).toBe('hello')
  expect(await putting).toBe(true)
  expect(Object.fromEntries(world.answers[0]?.headers ?? [])).toEqual({
    'content-type': 'application/octet-stream',
    'content-disposition': "attachment; filename*=UTF-8''gr%C3%BC%C3%9Fe%20%281%29_.txt",
    'content-security-policy': "default-src 'none'",
    'content-length': '10',
    'x-content-type-options': 'nosniff',
  })
  const more = target.put(1, blockOf('world'))
  expect(await nextOf(reader)).toBe('world')
  expect(await more).toBe(true)
  const finishing = target.finish()
  expect(await nextOf(reader)).toBeUndefined()
  expect(await finishing).toEqual({ kind: 'saved', where: 'grüße (1)_.txt' })
  expect(world.removed).toBe(1)
})

test('[FT75] a block counts only when the browser has taken the one before', async () => {
  const world = downloadWorld()
  const target = await begin(world)
  const first = target.put(0, blockOf('hello'))
  await vi.waitFor(() => expect(world.answers).toHaveLength(1))
  const reader = readerOf(world)
  const reading = nextOf(reader)
  await first
  await reading
  let isTaken = false
  const second = target.put(1, blockOf('world')).then(() => (isTaken = true))
  await new Promise((resolve) => setImmediate(resolve))
  expect(isTaken).toBe(false)
  await nextOf(reader)
  await second
  await target.discard()
})

test('[FT75] bytes that the browser has taken give their memory back, and none before', async () => {
  const world = downloadWorld()
  const target = await begin(world)
  const first = target.put(0, blockOf('hello'))
  await vi.waitFor(() => expect(world.answers).toHaveLength(1))
  const reader = readerOf(world)
  const { value } = await reader.read()
  expect(await first).toBe(true)
  expect(value?.length).toBe(5)
  const reading = nextOf(reader)
  await vi.waitFor(() => expect(value?.length).toBe(0))
  await target.put(1, blockOf('world'))
  expect(await reading).toBe('world')
  await target.discard()
})

test('[FT75] a download that the person cancels fails with the reason', async () => {
  const world = downloadWorld()
  const target = await begin(world)
  const first = target.put(0, blockOf('hello')).catch((error: unknown) => error)
  await vi.waitFor(() => expect(world.answers).toHaveLength(1))
  await readerOf(world).cancel()
  expect(await first).toMatchObject({ name: 'StoreError', message: expect.stringContaining('cancelled') })
  await expect(target.put(0, blockOf('hello'))).resolves.toBe(false)
})

test('[FT75] a page that is left, or gives up, breaks its download off', async () => {
  for (const how of ['leave', 'discard'] as const) {
    const world = downloadWorld()
    const target = await begin(world)
    const first = target.put(0, blockOf('hello'))
    await vi.waitFor(() => expect(world.answers).toHaveLength(1))
    const reader = readerOf(world)
    await nextOf(reader)
    await first
    if (how === 'leave') world.leave()
    else await target.discard()
    await expect(reader.read()).rejects.toThrow('gave up')
    await target.discard()
  }
})

test('[FT75] if the browser ends the service worker, the download has failed', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const world = downloadWorld()
  const target = await begin(world)
  const first = target.put(0, blockOf('hello'))
  await vi.waitFor(() => expect(world.answers).toHaveLength(1))
  await nextOf(readerOf(world))
  await first
  await vi.advanceTimersByTimeAsync(30_000)
  world.restart()
  const second = target.put(1, blockOf('world')).catch((error: unknown) => error)
  await vi.advanceTimersByTimeAsync(30_000)
  expect(await second).toMatchObject({ name: 'StoreError', message: expect.stringContaining('stopped') })
})

test('[FT75] a download that the browser does not start fails after a while', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  const world = downloadWorld({ isBlocked: true })
  const target = await begin(world)
  const first = target.put(0, blockOf('hello')).catch((error: unknown) => error)
  await vi.waitFor(() => expect(world.requested).toBe(1))
  await vi.advanceTimersByTimeAsync(31_000)
  expect(await first).toMatchObject({ message: expect.stringContaining('blocked') })
})
