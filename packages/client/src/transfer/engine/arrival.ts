import type { Block, EndReason, OfferedFile, Received, Target } from '../types.js'
import { BLOCK_BYTES, StoreError } from '../types.js'
import { Assembly } from './assembly.js'
import type { BlockRange } from './block-set.js'
import { BlockSet } from './block-set.js'
import type { IncomingCredit } from './credit.js'
import { HASH_BYTES } from '../hash.js'
import { HashList, isSameHash } from './hash-list.js'
import { BAD_BLOCKS_MAX, FILE_RANGES_MAX, blockBytes, blocksOf } from './limits.js'

/** What the receiving of a file tells. */
export interface ArrivalEvents {
  /** Blocks must be sent again. */
  need(ranges: readonly BlockRange[]): void
  /** A block was kept. */
  kept(): void
  /** All blocks are kept. */
  checking(): void
  complete(received: Received): void
  failed(reason: EndReason, detail: string): void
  /** Memory became free, so the sender may send more. */
  released(): void
  /** An error that is nobody's fault but the program's. */
  onError(error: unknown): void
}

interface Ready {
  block: Block
  held: number
}

/**
 * One file that is being received, from the opening of its place to its end. The set of missing blocks is all that it
 * needs to go on, whatever happened before.
 */
export class Arrival {
  readonly #file: OfferedFile
  readonly #target: Target
  readonly #credit: IncomingCredit
  readonly #events: ArrivalEvents
  readonly #blocks: number
  readonly #missing: BlockSet
  readonly #hashes: HashList
  readonly #assemblies = new Map<number, Assembly>()
  /** Whole blocks that wait to be written. */
  readonly #ready = new Map<number, Ready>()
  /** The block that is being written. */
  #writing: number | undefined
  #root: Uint8Array | undefined
  #badBlocks = 0
  #work: Promise<void> = Promise.resolve()
  #isWorking = false
  #isStopped = false
  #isFinishing = false

  constructor(file: OfferedFile, target: Target, credit: IncomingCredit, events: ArrivalEvents) {
    this.#file = file
    this.#target = target
    this.#credit = credit
    this.#events = events
    this.#blocks = blocksOf(file.size)
    this.#hashes = new HashList(this.#blocks)
    const kept = [...target.kept].filter(
      ([block, hash]) => block < this.#blocks && hash.length === HASH_BYTES,
    )
    for (const [block, hash] of kept) this.#hashes.set(block, hash)
    this.#missing = BlockSet.all(
      this.#blocks,
      kept.map(([block]) => block),
    )
  }

  get bytesDone(): number {
    const last = this.#blocks - 1
    const short = this.#missing.has(last) ? BLOCK_BYTES - blockBytes(this.#file.size, last) : 0
    return this.#file.size - (this.#missing.size * BLOCK_BYTES - short)
  }

  get hasAllBlocks(): boolean {
    return this.#missing.size === 0
  }

  /** Whether the other side must send the root before anything else can happen. */
  get awaitsRoot(): boolean {
    return this.hasAllBlocks && this.#root === undefined
  }

  /** True once the file is being made available, which nothing can stop. */
  get isFinishing(): boolean {
    return this.#isFinishing
  }

  /** The blocks to ask for on a new conduit. */
  get needed(): BlockRange[] {
    const needed = this.#missing.copy()
    for (const block of this.#ready.keys()) needed.remove(block)
    if (this.#writing !== undefined) needed.remove(this.#writing)
    return needed.ranges(FILE_RANGES_MAX)
  }

  /** Begins. An empty or kept file may only need its root. */
  start(): void {
    if (this.hasAllBlocks) this.#events.checking()
    this.#wake()
  }

  /** Takes a part whose bytes were counted. Returns what is wrong with it, if the sender broke the protocol. */
  part(block: number, offset: number, bytes: Uint8Array): string | undefined {
    if (block >= this.#blocks || offset + bytes.length > blockBytes(this.#file.size, block))
      return this.#refuse(bytes.length, 'it sent bytes beyond the end of the file')
    if (!this.#isWanted(block)) return this.#refuse(bytes.length, undefined)
    const assembly = this.#assembly(block)
    if (assembly === undefined) return this.#refuse(bytes.length, 'it sent pieces of too many blocks at once')
    if (!assembly.add(offset, bytes)) return 'it sent a block in too many pieces'
    this.#collect(block, assembly)
    return undefined
  }

  /** Takes the hash of a block. Returns what is wrong, as `part` does. */
  blockEnd(block: number, hash: Uint8Array<ArrayBuffer>): string | undefined {
    if (block >= this.#blocks) return 'it sent bytes beyond the end of the file'
    if (!this.#isWanted(block)) return undefined
    const assembly = this.#assembly(block)
    if (assembly === undefined) return 'it sent pieces of too many blocks at once'
    assembly.hash = hash
    this.#collect(block, assembly)
    return undefined
  }

  root(hash: Uint8Array): void {
    this.#root = hash
    this.#wake()
  }

  /** The conduit is gone, so the rest of the blocks that have begun never comes. */
  dropParts(): void {
    for (const { size, held } of this.#assemblies.values()) {
      this.#credit.release(held)
      this.#credit.free(size)
    }
    this.#assemblies.clear()
  }

  /** Ends the work. Resolves when the place is closed or removed. */
  async stop(how: 'close' | 'discard'): Promise<void> {
    this.#isStopped = true
    this.dropParts()
    for (const block of this.#ready.keys()) this.#dropReady(block)
    this.#events.released()
    await this.#work
    try {
      await this.#target[how]()
    } catch (error) {
      this.#events.onError(error)
    }
  }

  #isWanted(block: number): boolean {
    return !this.#isStopped && this.#missing.has(block) && !this.#ready.has(block) && this.#writing !== block
  }

  #refuse(bytes: number, why: string | undefined): string | undefined {
    this.#credit.release(bytes)
    this.#events.released()
    return why
  }

  /** Undefined: there is no memory for one more block. */
  #assembly(block: number): Assembly | undefined {
    const begun = this.#assemblies.get(block)
    if (begun !== undefined) return begun
    const size = blockBytes(this.#file.size, block)
    if (!this.#credit.reserve(size)) return undefined
    const assembly = new Assembly(size)
    this.#assemblies.set(block, assembly)
    return assembly
  }

  #collect(index: number, { whole, held }: Assembly): void {
    if (whole === undefined) return
    this.#assemblies.delete(index)
    this.#ready.set(index, { block: whole, held })
    this.#wake()
  }

  #dropReady(index: number): void {
    const ready = this.#ready.get(index)
    if (ready === undefined) return
    this.#ready.delete(index)
    this.#credit.release(ready.held)
    this.#credit.free(ready.block.bytes.length)
  }

  #wake(): void {
    if (this.#isWorking || this.#isStopped) return
    this.#isWorking = true
    this.#work = this.#run()
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopped) {
        const next = this.#target.inOrder ? this.#missing.first : this.#ready.keys().next().value
        const ready = next === undefined ? undefined : this.#ready.get(next)
        if (next !== undefined && ready !== undefined) await this.#put(next, ready)
        else if (this.hasAllBlocks && this.#root !== undefined) return await this.#finish(this.#root)
        else break
      }
    } catch (error) {
      if (!(error instanceof StoreError)) this.#events.onError(error)
      const detail = error instanceof StoreError ? error.message : 'the file could not be stored'
      if (!this.#isStopped) this.#events.failed('error-here', detail)
    } finally {
      this.#isWorking = false
    }
  }

  async #put(index: number, { block, held }: Ready): Promise<void> {
    this.#ready.delete(index)
    this.#writing = index
    const size = block.bytes.length
    let isKept = false
    try {
      isKept = await this.#target.put(index, block)
    } finally {
      this.#writing = undefined
      this.#credit.release(held)
      this.#credit.free(size)
    }
    if (this.#isStopped) return this.#events.released()
    if (isKept) {
      this.#missing.remove(index)
      this.#hashes.set(index, block.hash)
      this.#events.kept()
      if (this.hasAllBlocks) this.#events.checking()
    } else this.#again(index)
    this.#events.released()
  }

  /** A block was bad. */
  #again(index: number): void {
    if (++this.#badBlocks > BAD_BLOCKS_MAX)
      return this.#events.failed('error-there', 'too many blocks of the file arrived damaged')
    const needed = new BlockSet()
    needed.add(index)
    // A stream waits for this block, and the blocks after it would take the credit that it needs to come.
    if (this.#target.inOrder)
      for (const block of this.#ready.keys()) {
        this.#dropReady(block)
        needed.add(block)
      }
    this.#events.need(needed.ranges())
  }

  async #finish(root: Uint8Array): Promise<void> {
    if (!isSameHash(root, this.#hashes.root(this.#file.size))) {
      this.#isStopped = true
      return this.#events.failed('file-changed', 'the file was changed while it was sent')
    }
    this.#isFinishing = true
    try {
      const received = await this.#target.finish()
      this.#isStopped = true
      this.#events.complete(received)
    } finally {
      this.#isFinishing = false
    }
  }
}
