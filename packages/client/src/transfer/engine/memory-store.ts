import type { Block, OfferedFile, Received, Store, Target } from '../types.js'
import { StoreError } from '../types.js'
import { sha256 } from '../hash.js'
import { isSameHash } from './hash-list.js'
import { blocksOf } from './limits.js'

/**
 * A store in memory. A file that was received is a `Blob`. All files that are being received take at most `bytesMax`
 * bytes together; a file that is complete counts no longer, because the application decides when to let it go.
 * @example
 * const store = memoryStore(200 * 1024 * 1024)
 */
export function memoryStore(bytesMax: number): Store {
  return new MemoryStore(bytesMax)
}

class MemoryStore implements Store {
  readonly isDurable = false
  readonly bytesMax: number
  #used = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  async open(file: OfferedFile): Promise<Target> {
    return new MemoryTarget(file, {
      take: (bytes) => {
        if (this.#used + bytes > this.bytesMax)
          throw new StoreError('full', 'there is not enough memory for the file')
        this.#used += bytes
      },
      free: (bytes) => {
        this.#used -= bytes
      },
    })
  }
}

/** The memory of a store. */
interface Room {
  /** @throws StoreError if the store is full */
  take(bytes: number): void
  free(bytes: number): void
}

class MemoryTarget implements Target {
  readonly kept = new Map<number, Uint8Array<ArrayBuffer>>()
  readonly inOrder = false
  readonly #file: OfferedFile
  readonly #room: Room
  readonly #blocks = new Map<number, Blob>()
  #bytes = 0

  constructor(file: OfferedFile, room: Room) {
    this.#file = file
    this.#room = room
  }

  async put(index: number, { bytes, hash }: Block): Promise<boolean> {
    if (!isSameHash(await sha256(bytes), hash)) return false
    this.#room.take(bytes.length)
    this.#bytes += bytes.length
    // A browser may move a Blob to disk.
    this.#blocks.set(index, new Blob([bytes]))
    return true
  }

  async finish(): Promise<Received> {
    const parts = Array.from(
      { length: blocksOf(this.#file.size) },
      (_, i) => this.#blocks.get(i) ?? new Blob(),
    )
    await this.discard()
    return { kind: 'blob', blob: new Blob(parts, { type: this.#file.type }) }
  }

  async discard(): Promise<void> {
    this.#room.free(this.#bytes)
    this.#bytes = 0
    this.#blocks.clear()
  }

  async close(): Promise<void> {
    await this.discard()
  }
}
