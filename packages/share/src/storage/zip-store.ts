import {
  numbered,
  pathKey,
  safePath,
  StoreError,
  type OfferedFile,
  type Received,
  type Segments,
  type Store,
  type Target,
} from '@peerage/client/transfer'
import { storeError } from './failure.js'
import type { Sink } from './sink.js'
import type { StorageDesk } from './storage-desk.js'
import { nothingWhole, ZipWriter, type ZipFile } from './zip-writer.js'

/** Many files as one zip archive, which is written while they arrive. */
export interface ZipStore extends Store {
  /** One file after the other. */
  readonly openMax: 1
  /**
   * Ends the archive. It happens by itself when all `count` files have ended. Files that are not whole are not in it.
   * @throws StoreError
   */
  end(): Promise<Received>
}

export interface ZipOptions {
  /** Where the archive goes. Called when the first bytes come. */
  openSink(): Promise<Sink>
  /** How many files were accepted. */
  count: number
  now(): number
}

/**
 * The files must come one after the other. If one is paused while the next one comes, its beginning is left out of the
 * archive, and its next block fails.
 */
export function zipStore(desk: StorageDesk, options: ZipOptions): ZipStore {
  const names = new Set<string>()
  let left = options.count
  let writer: Promise<ZipWriter> | undefined
  let ending: Promise<Received> | undefined
  const open = (): Promise<ZipWriter> => {
    if (ending !== undefined)
      throw new StoreError('failed', 'The zip archive of this file has already ended.')
    writer ??= options.openSink().then((sink) => new ZipWriter(sink))
    return writer
  }
  const end = (): Promise<Received> => {
    ending ??= writer === undefined ? Promise.reject(nothingWhole()) : writer.then((zip) => zip.finish())
    return ending
  }
  const fileOf = ({ path, size, modifiedAt }: OfferedFile): Omit<ZipFile, 'id'> => ({
    name: uniqueName(names, path),
    size,
    modifiedAt: new Date(modifiedAt ?? options.now()),
  })
  return {
    isDurable: false,
    bytesMax: Infinity,
    openMax: 1,
    end,
    open: async (file) => {
      const entry = { ...fileOf(file), id: Symbol(file.path) }
      let next = 0
      let isOver = false
      /** One file fewer to wait for. */
      const over = async (): Promise<void> => {
        left--
        if (left === 0) await end()
      }
      const drop = async (): Promise<void> => {
        if (isOver) return
        isOver = true
        if (next > 0 && writer !== undefined) (await writer).drop(entry)
        // A failure is told to who calls `end`: this file is given up anyway.
        await over().catch((error: unknown) => storeError(error))
      }
      const target: Target = {
        kept: new Map(),
        inOrder: true,
        put: async (index, block) => {
          const zip = await open()
          const { isRight, bytes, crc } = await desk.ask('check', { ...block, crc: zip.crcOf(entry) })
          if (!isRight || index !== next || isOver) return false
          if (index === 0) await zip.begin(entry)
          next++
          await zip.write(entry, bytes, crc)
          return true
        },
        finish: async () => {
          const zip = await open()
          if (next === 0) await zip.begin(entry)
          await zip.end(entry)
          isOver = true
          await over()
          return { kind: 'saved', where: entry.name }
        },
        discard: drop,
        close: drop,
      }
      return target
    },
  }
}

function uniqueName(taken: Set<string>, path: string): string {
  const safe = safePath(path)
  if (!safe.ok) throw new StoreError('bad-name', `The path of this file ${safe.why}.`)
  let segments: Segments = safe.segments
  for (let number = 2; taken.has(pathKey(segments)); number++) segments = numbered(safe.segments, number)
  taken.add(pathKey(segments))
  return segments.join('/')
}
