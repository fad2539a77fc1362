import type { Block, OfferedFile, Source } from '../types.js'
import { SourceError } from '../types.js'
import { BlockSet } from './block-set.js'
import { HASH_BYTES } from '../hash.js'
import { HashList, isSameHash } from './hash-list.js'
import { RECHECKED_BLOCKS, blockBytes, blocksOf } from './limits.js'
import type { Sums } from './progress.js'
import type { Changed } from './record.js'
import { FileRecord } from './record.js'

/** A file that this side offers. */
export class OutFile {
  readonly record: FileRecord
  /** What the receiver asked for on this conduit, and has not been read yet. */
  asked = new BlockSet()
  /** The blocks whose hashes are not known and that are not being read. */
  readonly #unhashed: BlockSet
  readonly #hashes: HashList
  readonly #hashed = new BlockSet()
  readonly #blocks: number
  #root: Uint8Array<ArrayBuffer> | undefined
  /** Blocks to read a second time before the root is sent. Undefined: they are not chosen yet. */
  #rechecks: number[] | undefined
  #source: Source | undefined
  /** New when everything that was asked for is forgotten, so that blocks under way can tell. */
  asking: object = {}
  /** Blocks that were taken from `asked` and have not been sent. */
  jobs = 0
  /** Whether the receiver said on this conduit what it needs. */
  isAskedFor = false
  /** Whether the receiver said on this conduit what it had. */
  isKeptKnown = false
  hasSentRoot = false
  /** False: the file cannot even be offered. */
  canOffer = true

  constructor(file: OfferedFile, source: Source | undefined, sums: Sums, changed: Changed) {
    this.record = new FileRecord('out', file, sums, changed)
    this.#source = source
    this.#blocks = Number.isSafeInteger(file.size) ? blocksOf(file.size) : 0
    this.#hashes = new HashList(this.#blocks)
    this.#unhashed = BlockSet.all(this.#blocks)
    if (source !== undefined) return
    this.record.pause('here', true)
    this.record.isMissing = true
  }

  get id(): number {
    return this.record.file.id
  }

  get source(): Source | undefined {
    return this.#source
  }

  set source(source: Source | undefined) {
    this.#source = source
    this.record.isMissing = source === undefined
  }

  /** Whether the other side should know of it. */
  get isOffered(): boolean {
    const { phase } = this.record
    return this.canOffer && (phase.name !== 'ended' || phase.tell === undefined)
  }

  spoil(detail: string): void {
    this.canOffer = false
    this.record.phase = { name: 'ended', reason: 'error-here', detail, tell: undefined }
  }

  /** Whether it can be read for the other side now. */
  get isReadable(): boolean {
    return this.record.isActive && !this.record.isPaused && this.#source !== undefined && this.isAskedFor
  }

  /** Whether the root is due. */
  get isRootDue(): boolean {
    return (
      this.isReadable &&
      !this.hasSentRoot &&
      this.jobs === 0 &&
      this.asked.size === 0 &&
      this.#hashed.size === this.#blocks
    )
  }

  /**
   * The next block to read a second time before the root is sent [FT28]. Undefined: all were read. Firefox reads a file
   * that is overwritten in place without an error, so the blocks may be a mix of two contents.
   */
  get nextToRecheck(): number | undefined {
    if (this.#blocks < 2 || !this.isRootDue) return undefined
    this.#rechecks ??= someBlocks(this.#blocks)
    return this.#rechecks[0]
  }

  /** @throws SourceError if the block differs from the one that was sent */
  async recheck(block: number): Promise<void> {
    await this.read(block)
    if (this.#rechecks?.[0] === block) this.#rechecks.shift()
  }

  get root(): Uint8Array<ArrayBuffer> {
    // Kept, because the other side can make us say it again and again.
    return (this.#root ??= this.#hashes.root(this.record.file.size))
  }

  get hashedBlocks(): number {
    return this.#hashed.size
  }

  /** The next block to hash although the receiver has it. */
  get nextToHash(): number | undefined {
    return this.isReadable ? this.#unhashed.firstNotIn(this.asked) : undefined
  }

  /** A new conduit, or the end of the file. */
  forgetAsked(): void {
    this.asking = {}
    this.asked = new BlockSet()
    this.jobs = 0
    this.isAskedFor = false
    this.isKeptKnown = false
    this.hasSentRoot = false
  }

  /** Takes the next block that was asked for. */
  takeAsked(): number | undefined {
    const block = this.asked.first
    if (block === undefined) return undefined
    this.asked.remove(block)
    this.jobs++
    return block
  }

  /** @throws SourceError if the file cannot be read, or is not the one that was offered */
  async read(block: number): Promise<Block> {
    if (this.#source === undefined) throw new SourceError('unreadable', 'the file must be chosen again')
    this.#unhashed.remove(block)
    const read = await this.#readAgain(this.#source, block)
    this.#hashes.set(block, read.hash)
    this.#hashed.add(block)
    return read
  }

  async #readAgain(source: Source, block: number): Promise<Block> {
    try {
      const read = await source.readBlock(block)
      const isKnown = this.#hashed.has(block)
      if (
        read.bytes.length !== blockBytes(this.record.file.size, block) ||
        read.hash.length !== HASH_BYTES ||
        (isKnown && !isSameHash(read.hash, this.#hashes.get(block)))
      )
        throw new SourceError('changed', 'the file was changed while it was sent')
      return read
    } catch (error) {
      if (!this.#hashed.has(block)) this.#unhashed.add(block)
      throw error
    }
  }
}

/** The first block, because a file is usually overwritten from its beginning, and others at random. */
function someBlocks(blocks: number): number[] {
  const chosen = new Set([0])
  const most = Math.min(blocks, RECHECKED_BLOCKS)
  while (chosen.size < most) chosen.add(Math.floor(Math.random() * blocks))
  return [...chosen]
}
