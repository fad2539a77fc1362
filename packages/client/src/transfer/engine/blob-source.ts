import type { Block, FileInfo, Source } from '../types.js'
import { BLOCK_BYTES, SourceError } from '../types.js'
import { sha256 } from '../hash.js'
import { blockBytes } from './limits.js'

/** The modification time of a `File`, or undefined for a `Blob` that was made by a program. */
const timeOf = (blob: Blob): number | undefined =>
  'lastModified' in blob && typeof blob.lastModified === 'number' ? blob.lastModified : undefined

/**
 * A source that reads a `File`, as a page gets it from an input, by drag and drop or by paste. `path`: its relative path,
 * if it comes from a folder. Default: its name.
 * @example
 * const [file] = input.files
 * transfer.offer([blobSource(file)])
 */
export function blobSource(file: File, path: string = file.name): Source {
  return new BlobSource(file, { path, size: file.size, type: file.type, modifiedAt: timeOf(file) })
}

class BlobSource implements Source {
  readonly info: FileInfo
  readonly #blob: Blob

  constructor(blob: Blob, info: FileInfo) {
    this.#blob = blob
    this.info = info
  }

  async readBlock(index: number): Promise<Block> {
    const start = index * BLOCK_BYTES
    const bytes = await this.#read(start, start + blockBytes(this.info.size, index))
    return { bytes, hash: await sha256(bytes) }
  }

  async #read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    let buffer: ArrayBuffer
    try {
      buffer = await this.#blob.slice(start, end).arrayBuffer()
    } catch (error) {
      // Chromium and Firefox refuse to read a file that has changed since the page got it, and do not say whether it
      // has changed or vanished: both are NotReadableError or NotFoundError.
      throw new SourceError('unreadable', 'the file was changed, moved or deleted, or may not be read', {
        cause: error,
      })
    }
    if (buffer.byteLength !== end - start) throw new SourceError('changed', 'the file is shorter than before')
    return new Uint8Array(buffer)
  }
}
