import type { Block } from '../types.js'
import { SourceError } from '../types.js'
import { releaseBytes } from '../release.js'
import { OutgoingCredit } from './credit.js'
import { AHEAD_BLOCKS, HASHING_MS, PART_BYTES_MAX, QUIET_SECONDS } from './limits.js'
import type { Link } from './link.js'
import { Bell } from './link.js'
import type { OutFile } from './out-file.js'
import { PART_HEAD_BYTES, encodeBlockEnd, encodePart } from './parts.js'
import type { Ending, SideOptions } from './side.js'

/** A block to send, which is being read. */
interface Job {
  file: OutFile
  asking: object
  block: number
  /** Undefined: it could not be read, and the file has ended. */
  read: Promise<Block | undefined>
}

/** Reads blocks and sends them, within the credit of the receiver, one file after the other. */
export class Sender {
  readonly #options: SideOptions
  readonly #end: (file: OutFile, ending: Ending) => void
  /** The files that the receiver asks for, in the order in which it began. */
  readonly #turns = new Set<OutFile>()
  readonly #credit = new OutgoingCredit()
  #bell = new Bell()
  #room = new Bell()
  #isHashing = false
  readonly #rechecking = new Set<OutFile>()
  #saidHashingAt = -Infinity
  #link: Link | undefined
  #moving: OutFile | undefined
  #idleSeconds = 0

  constructor(options: SideOptions, end: (file: OutFile, ending: Ending) => void) {
    this.#options = options
    this.#end = end
  }

  get isBusy(): boolean {
    return this.#moving !== undefined
  }

  attach(link: Link): void {
    this.#link = link
    this.#turns.clear()
    this.#credit.begin()
    this.#bell = new Bell()
    this.#room = new Bell()
    this.#run(this.#pump(link, this.#bell))
  }

  detach(): void {
    this.#link = undefined
    this.#bell.ring()
    this.#room.ring()
    this.#setMoving(undefined)
  }

  /** The receiver has asked for blocks of a file, or for its root. */
  asked(file: OutFile): void {
    this.#turns.add(file)
    this.wake()
  }

  /** The receiver has kept a block. */
  kept(): void {
    this.#idleSeconds = 0
  }

  /** Something to send may be there, or something not to send any more. */
  wake(): void {
    this.#bell.ring()
    this.#room.ring()
    if (!this.#isHashing) this.#run(this.#hashRest())
  }

  /** Returns what is wrong with the grant. */
  grant(bytes: number): string | undefined {
    const wrong = this.#credit.grant(bytes)
    this.#room.ring()
    return wrong
  }

  tick(): void {
    if (++this.#idleSeconds > QUIET_SECONDS) this.#setMoving(undefined)
  }

  #run(work: Promise<void>): void {
    work.catch(this.#options.onError)
  }

  async #pump(link: Link, bell: Bell): Promise<void> {
    const jobs: Job[] = []
    const memory = new Uint8Array(PART_HEAD_BYTES + PART_BYTES_MAX)
    while (link.isOpen && this.#link === link) {
      this.#fill(jobs)
      const job = jobs.shift()
      if (job === undefined) await bell.heard()
      else {
        await this.#sendJob(job, link, memory)
        this.#sendRoot(job.file)
      }
    }
  }

  /** Reads the next blocks. */
  #fill(jobs: Job[]): void {
    for (const file of this.#turns) {
      if (!file.record.isActive) this.#turns.delete(file)
      this.#sendRoot(file)
      while (file.isReadable && jobs.length <= AHEAD_BLOCKS) {
        const block = file.takeAsked()
        if (block === undefined) break
        jobs.push({ file, asking: file.asking, block, read: this.#read(file, block) })
      }
      if (jobs.length > AHEAD_BLOCKS) return
    }
  }

  async #sendJob(job: Job, link: Link, memory: Uint8Array<ArrayBuffer>): Promise<void> {
    const { file, block } = job
    const read = await job.read
    const isWanted = (): boolean => link.isOpen && this.#link === link && file.asking === job.asking
    if (!isWanted() || read === undefined) return
    if (file.record.isPaused) {
      file.asked.add(block)
      file.jobs--
      return
    }
    const partBytes = this.#partBytes(read.bytes.length, link)
    for (let offset = 0; offset < read.bytes.length; offset += partBytes) {
      const part = read.bytes.subarray(offset, offset + partBytes)
      while (isWanted() && !this.#credit.take(part.length)) await this.#room.heard()
      if (!isWanted()) return
      this.#idleSeconds = 0
      this.#setMoving(file)
      await link.sendBytes(encodePart(file.id, block, offset, part, memory))
    }
    releaseBytes(read.bytes)
    if (!isWanted()) return
    await link.sendBytes(encodeBlockEnd(file.id, block, read.hash))
    if (isWanted()) file.jobs--
  }

  /** All parts of a block have about the same size, because a small last one costs as much as a large one. */
  #partBytes(blockBytes: number, link: Link): number {
    const { partBytesMax = PART_BYTES_MAX } = this.#options
    const most = Math.min(partBytesMax, PART_BYTES_MAX, link.messageBytesMax - PART_HEAD_BYTES)
    return Math.ceil(blockBytes / Math.ceil(blockBytes / most))
  }

  /** Hashes what the receiver has, for the root, one block at a time, while the rest is being sent. */
  async #hashRest(): Promise<void> {
    this.#isHashing = true
    try {
      for (;;) {
        const file = [...this.#turns].find(({ nextToHash }) => nextToHash !== undefined)
        const block = file?.nextToHash
        if (this.#link === undefined || file === undefined || block === undefined) return
        const read = await this.#read(file, block)
        if (read !== undefined) releaseBytes(read.bytes)
        this.#sayHashing(file)
        this.#sendRoot(file)
      }
    } finally {
      this.#isHashing = false
    }
  }

  #sayHashing(file: OutFile): void {
    const now = this.#options.clock.now()
    if (Math.abs(now - this.#saidHashingAt) < HASHING_MS) return
    this.#saidHashingAt = now
    this.#options.send({ type: 'hashing', file: file.id, blocks: file.hashedBlocks })
  }

  #sendRoot(file: OutFile): void {
    if (!file.isRootDue) return
    if (file.nextToRecheck !== undefined) return this.#run(this.#recheck(file))
    file.hasSentRoot = true
    const hash = Array.from(file.root, (byte) => byte.toString(16).padStart(2, '0')).join('')
    this.#options.send({ type: 'root', file: file.id, hash })
    file.record.phase = { name: 'checking' }
  }

  /** Reads some blocks a second time, and then sends the root. */
  async #recheck(file: OutFile): Promise<void> {
    if (this.#rechecking.has(file)) return
    this.#rechecking.add(file)
    try {
      for (let block = file.nextToRecheck; block !== undefined; block = file.nextToRecheck) {
        await file.recheck(block)
        this.#sayHashing(file)
      }
    } catch (error) {
      this.#unreadable(file, error)
    } finally {
      this.#rechecking.delete(file)
    }
    this.#sendRoot(file)
  }

  /** Reads a block, and ends the file if that fails. */
  async #read(file: OutFile, block: number): Promise<Block | undefined> {
    try {
      return await file.read(block)
    } catch (error) {
      this.#unreadable(file, error)
      return undefined
    }
  }

  #unreadable(file: OutFile, error: unknown): void {
    // Another block of the same file may have failed before.
    if (!file.record.isActive) return
    if (!(error instanceof SourceError)) this.#options.onError(error)
    const detail = error instanceof SourceError ? error.message : 'the file could not be read'
    const isChanged = error instanceof SourceError && error.reason === 'changed'
    this.#end(file, { reason: isChanged ? 'file-changed' : 'error-here', detail })
  }

  #setMoving(file: OutFile | undefined): void {
    if (file === this.#moving) return
    if (this.#moving !== undefined) this.#moving.record.isMoving = false
    if (file !== undefined) file.record.isMoving = true
    this.#moving = file
  }
}
