import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { fakeStorage, type FakeStorage } from './testing/fake-storage.js'
import { createDesk } from './desk.js'
import { opfsStore, ROOM_MARGIN_BYTES } from './opfs-store.js'
import { OwnFiles } from './own-files.js'
import type { StorageDesk } from './storage-desk.js'
import { errorOf } from './failure.js'

const FILE = { id: 1, path: 'a.txt', size: 5, type: 'text/plain', modifiedAt: 1 }
const blockOf = (text: string) => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, hash: Uint8Array.from(createHash('sha256').update(bytes).digest()) }
}

function deskOf(storage: FakeStorage): StorageDesk {
  const files = new OwnFiles({ getDirectory: () => storage.getDirectory(), wait: () => Promise.resolve() })
  const desk = createDesk(files)
  return {
    isInWorker: true,
    hasFiles: true,
    trouble: undefined,
    ask: async (task, request) => {
      const outcome = await desk[task](request)
      if (outcome.ok) return outcome.answer
      throw errorOf(outcome.failure)
    },
    close: () => {},
  }
}

describe('files of the own storage', () => {
  test('[FT70] a block is flushed before its record is written, and the record before the block counts', async () => {
    const storage = fakeStorage()
    const target = await opfsStore(deskOf(storage), storage).open(FILE, 's')
    expect(storage.done).toEqual([])
    expect(await target.put(0, blockOf('hello'))).toBe(true)
    expect(storage.done.slice(-4)).toEqual([
      'write 1.data',
      'flush 1.data',
      'write 1.journal',
      'flush 1.journal',
    ])
    const blob = await target.finish()
    expect(blob).toMatchObject({ kind: 'blob', blob: { size: 5, type: 'text/plain' } })
  })

  test('[FT70] an empty file is whole at once', async () => {
    const storage = fakeStorage()
    const store = opfsStore(deskOf(storage), storage)
    const target = await store.open({ ...FILE, size: 0 }, 's')
    const received = await target.finish()
    expect(received).toMatchObject({ kind: 'blob', blob: { size: 0 } })
    if (received.kind === 'blob') await store.release(received.blob)
    expect(storage.names()).toEqual([])
  })

  test('[FT72] a write that takes fewer bytes than it got is a full disk', async () => {
    const storage = fakeStorage({ writeBytesMax: 3 })
    const target = await opfsStore(deskOf(storage), storage).open(FILE, 's')
    await expect(target.put(0, blockOf('hello'))).rejects.toMatchObject({
      name: 'StoreError',
      reason: 'full',
    })
  })

  test('[FT72] a file counts with what it still needs, also while others are open', async () => {
    const storage = fakeStorage({ quota: ROOM_MARGIN_BYTES + 12 })
    const store = opfsStore(deskOf(storage), storage)
    const first = await store.open(FILE, 's')
    await expect(store.open({ ...FILE, id: 2, size: 8 }, 's')).rejects.toMatchObject({ reason: 'full' })
    await store.open({ ...FILE, id: 3, size: 7 }, 's')
    await first.close()
    await store.open({ ...FILE, id: 4 }, 's')
  })

  test('[FT72] a file that another tab has open is tried for a while, then refused', async () => {
    const storage = fakeStorage()
    const [one, two] = [opfsStore(deskOf(storage), storage), opfsStore(deskOf(storage), storage)]
    const first = await one.open({ ...FILE, size: 10 }, 's')
    await first.put(0, blockOf('hello'))
    const second = await two.open({ ...FILE, size: 10 }, 's')
    await expect(second.put(0, blockOf('hello'))).rejects.toThrow(/another tab/)
    await first.close()
    expect(await second.put(0, blockOf('hello'))).toBe(true)
  })

  test('[FT73] files of a share are listed, removed, and swept when they are old', async () => {
    const storage = fakeStorage()
    const store = opfsStore(deskOf(storage), storage)
    for (const id of [1, 2]) {
      const target = await store.open({ ...FILE, id }, 's')
      await target.put(0, blockOf('hello'))
      await target.close()
    }
    expect((await store.keptFiles('s')).map(({ id, bytesKept }) => [id, bytesKept])).toEqual([
      [1, 5],
      [2, 5],
    ])
    expect(await store.keptFiles('other')).toEqual([])
    await store.remove('s', 1)
    expect((await store.keptFiles('s')).map(({ id }) => id)).toEqual([2])
    const week = 7 * 24 * 60 * 60 * 1000
    await store.sweep(storage.now + week - 1)
    expect(storage.names()).toHaveLength(2)
    await store.sweep(storage.now + week + 1)
    expect(storage.names()).toEqual([])
  })
})
