import { createHash } from 'node:crypto'
import type {
  Block,
  FileInfo,
  OfferedFile,
  Received,
  Source,
  Store,
  StoreError,
  Target,
} from '../transfer/types.js'
import { BLOCK_BYTES, SourceError } from '../transfer/types.js'
import { seededRandom } from './random.js'

/** Sources and stores that hash at once, so that a test needs no more than microtasks. */

export const hashOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(bytes).digest())

/** Whether both are there and the same. Much faster than `toEqual` for many bytes. */
export const isEqual = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.from(a).equals(b)

/** Bytes that no two files have in common. */
export function someBytes(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size)
  const random = seededRandom(seed)
  for (let i = 0; i < size; i += 997) bytes[i] = 1 + Math.floor(random() * 255)
  return bytes
}

export class FakeSource implements Source {
  readonly info: FileInfo
  bytes: Uint8Array<ArrayBuffer>
  /** Set: reading fails with it. */
  error: Error | undefined
  /** The blocks that were read, in order. */
  reads: number[] = []

  constructor(path: string, bytes: Uint8Array<ArrayBuffer>) {
    this.info = { path, size: bytes.length, type: 'application/octet-stream', modifiedAt: 1_700_000_000_000 }
    this.bytes = bytes
  }

  async readBlock(index: number): Promise<Block> {
    this.reads.push(index)
    await Promise.resolve()
    if (this.error !== undefined) throw this.error
    if (this.bytes.length !== this.info.size) throw new SourceError('changed', 'the file has another size')
    const bytes = this.bytes.slice(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
    return { bytes, hash: hashOf(bytes) }
  }
}

/** What is left of a file in a store that survives a reload. */
interface Kept {
  blocks: Map<number, Block>
}

export class FakeStore implements Store {
  readonly isDurable = true
  bytesMax = Infinity
  inOrder = false
  openMax: number | undefined
  /** Files that are complete, by path. */
  readonly finished = new Map<string, Uint8Array<ArrayBuffer>>()
  readonly partial = new Map<string, Kept>()
  readonly opened: FakeTarget[] = []
  /** Called before each block is kept: throw a StoreError to fail, or wait. Returning false: the block is bad. */
  beforePut: (file: OfferedFile, index: number) => Promise<boolean | void> = async () => undefined
  openError: StoreError | undefined
  finishError: StoreError | undefined
  beforeFinish: () => Promise<void> = async () => undefined
  beforeDiscard: () => Promise<void> = async () => undefined

  async open(file: OfferedFile, share: string): Promise<Target> {
    await Promise.resolve()
    if (this.openError !== undefined) throw this.openError
    const key = `${share} ${file.id} ${file.path} ${file.size} ${file.modifiedAt}`
    let kept = this.partial.get(key)
    if (kept === undefined) this.partial.set(key, (kept = { blocks: new Map() }))
    const target = new FakeTarget(this, file, key, kept)
    this.opened.push(target)
    return target
  }
}

export class FakeTarget implements Target {
  readonly kept: ReadonlyMap<number, Uint8Array<ArrayBuffer>>
  readonly inOrder: boolean
  readonly puts: number[] = []
  state: 'open' | 'finished' | 'discarded' | 'closed' = 'open'
  #isPutting = false
  readonly #store: FakeStore
  readonly #file: OfferedFile
  readonly #key: string
  readonly #blocks: Map<number, Block>

  constructor(store: FakeStore, file: OfferedFile, key: string, { blocks }: Kept) {
    this.#store = store
    this.#file = file
    this.#key = key
    this.#blocks = blocks
    this.inOrder = store.inOrder
    this.kept = new Map([...blocks].map(([index, { hash }]) => [index, hash]))
  }

  async put(index: number, block: Block): Promise<boolean> {
    if (this.state !== 'open') throw new Error(`put into a place that is ${this.state}`)
    if (this.#isPutting) throw new Error('two calls of put overlap')
    this.#isPutting = true
    try {
      const isGood = await this.#store.beforePut(this.#file, index)
      if (isGood === false || !Buffer.from(hashOf(block.bytes)).equals(block.hash)) return false
      if (this.inOrder && index !== this.#blocks.size) throw new Error(`block ${index} came too early`)
      if (this.#blocks.has(index)) throw new Error(`block ${index} was put twice`)
      this.puts.push(index)
      this.#blocks.set(index, block)
      return true
    } finally {
      this.#isPutting = false
    }
  }

  async finish(): Promise<Received> {
    if (this.state !== 'open') throw new Error(`finish of a place that is ${this.state}`)
    await this.#store.beforeFinish()
    if (this.#store.finishError !== undefined) throw this.#store.finishError
    this.state = 'finished'
    const bytes = new Uint8Array(this.#file.size)
    for (const [index, block] of this.#blocks) bytes.set(block.bytes, index * BLOCK_BYTES)
    this.#store.finished.set(this.#file.path, bytes)
    this.#store.partial.delete(this.#key)
    return { kind: 'saved', where: this.#file.path }
  }

  async discard(): Promise<void> {
    await this.#store.beforeDiscard()
    this.state = 'discarded'
    this.#store.partial.delete(this.#key)
  }

  async close(): Promise<void> {
    await Promise.resolve()
    this.state = 'closed'
  }
}
