import { StoreError, type Received } from '@peerage/client/transfer'
import type { Sink } from './sink.js'
import { dataDescriptor, directory, localHeader, type ZipEntry } from './zip-format.js'

export interface ZipFile {
  id: symbol
  name: string
  size: number
  modifiedAt: Date
}

/** The file whose content is being written. */
interface Current {
  file: ZipFile
  entry: ZipEntry
  written: number
}

export const nothingWhole = (): StoreError =>
  new StoreError('failed', 'No file of the zip archive has arrived whole, so there is none.')

/** Smaller pieces wait for others: a download has a round trip to the service worker for each write. */
const PIECE_BYTES = 64 * 1024

/** Writes a zip archive to a sink, file by file. A file that is dropped stays out of the directory at the end. */
export class ZipWriter {
  readonly #sink: Sink
  readonly #entries: ZipEntry[] = []
  #current: Current | undefined
  #offset = 0
  /** Small pieces that the sink does not have yet. */
  #waiting: Uint8Array<ArrayBuffer>[] = []

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** The CRC-32 of what was written of a file. */
  crcOf({ id }: ZipFile): number {
    return this.#current?.file.id === id ? this.#current.entry.crc : 0
  }

  /** A file before it that was not ended is dropped. */
  async begin(file: ZipFile): Promise<void> {
    const { name, size, modifiedAt } = file
    const entry = { name: new TextEncoder().encode(name), size, crc: 0, offset: this.#offset, modifiedAt }
    this.#current = { file, entry, written: 0 }
    await this.#write(localHeader(entry))
  }

  /** `crc` is the one of all that was written of the file, with these bytes. */
  async write(file: ZipFile, bytes: Uint8Array<ArrayBuffer>, crc: number): Promise<void> {
    const current = this.#currentOf(file)
    current.written += bytes.length
    if (current.written > file.size) throw new StoreError('failed', 'The file is longer than was said.')
    current.entry.crc = crc
    await this.#write(bytes)
  }

  async end(file: ZipFile): Promise<void> {
    const { entry, written } = this.#currentOf(file)
    if (written !== file.size) throw new StoreError('failed', 'The file is shorter than was said.')
    await this.#write(dataDescriptor(entry))
    this.#entries.push(entry)
    this.#current = undefined
  }

  drop({ id }: ZipFile): void {
    if (this.#current?.file.id === id) this.#current = undefined
  }

  /** @throws StoreError if no file is whole; then nothing is saved */
  async finish(): Promise<Received> {
    if (this.#entries.length === 0) {
      await this.#sink.abort()
      throw nothingWhole()
    }
    await this.#write(directory(this.#entries, this.#offset))
    await this.#flush()
    return this.#sink.finish()
  }

  #currentOf({ id }: ZipFile): Current {
    if (this.#current?.file.id === id) return this.#current
    throw new StoreError(
      'failed',
      'This file was paused while another one went into the zip archive. Ask for it again.',
    )
  }

  async #write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#offset += bytes.length
    if (bytes.length >= PIECE_BYTES) {
      await this.#flush()
      return this.#sink.write(bytes)
    }
    this.#waiting.push(bytes)
    if (sizeOf(this.#waiting) >= PIECE_BYTES) await this.#flush()
  }

  /** Gives the sink what waits. */
  async #flush(): Promise<void> {
    const pieces = this.#waiting.splice(0)
    if (pieces.length === 0) return
    const together = new Uint8Array(sizeOf(pieces))
    let at = 0
    for (const piece of pieces) {
      together.set(piece, at)
      at += piece.length
    }
    await this.#sink.write(together)
  }
}

const sizeOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0)
