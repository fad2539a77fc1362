import type { OfferedFile, Target } from '@peerage/client/transfer'
import type { Sink } from './sink.js'
import type { StorageDesk } from './storage-desk.js'

/** A file that goes into a sink, block by block, in order. The sink is opened when the first bytes come. */
export function streamTarget(desk: StorageDesk, file: OfferedFile, openSink: () => Promise<Sink>): Target {
  let sink: Promise<Sink> | undefined
  let next = 0
  let length = 0
  let isOver = false
  const open = (): Promise<Sink> => (sink ??= openSink())
  const end = async (): Promise<void> => {
    if (isOver) return
    isOver = true
    await (await sink)?.abort()
  }
  return {
    kept: new Map(),
    inOrder: true,
    put: async (index, block) => {
      const { isRight, bytes } = await desk.ask('check', { ...block, crc: 0 })
      if (!isRight || index !== next || isOver || length + bytes.length > file.size) return false
      next++
      length += bytes.length
      await (await open()).write(bytes)
      return true
    },
    finish: async () => {
      isOver = true
      return (await open()).finish()
    },
    discard: end,
    // A stream cannot be gone on with later.
    close: end,
  }
}
