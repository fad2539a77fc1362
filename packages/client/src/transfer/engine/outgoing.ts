import type { OfferedFile, Source } from '../types.js'
import type { SharedFile } from '../sharing.js'
import type { Control } from './codec.js'
import {
  FILES_MAX,
  FILE_BYTES_MAX,
  FILE_RANGES_MAX,
  PATH_LENGTH_MAX,
  TYPE_LENGTH_MAX,
  blocksOf,
} from './limits.js'
import type { Link } from './link.js'
import { offerPages } from './offers.js'
import { OutFile } from './out-file.js'
import { Sums } from './progress.js'
import { canSendAgain, heardReason, toldReason } from './reasons.js'
import type { FileRecord } from './record.js'
import { Sender } from './sender.js'
import type { Ending, SideOptions } from './side.js'
import { tellEnd, tellStates } from './side.js'

/** The numbers of files of `offer` begin in the upper half, at random: after a reload, other files get others. */
const OWN_IDS = 2 ** 31

/** The files that this side offers, and their sending. */
export class Outgoing {
  readonly sums: Sums
  readonly #options: SideOptions
  readonly #files = new Map<number, OutFile>()
  readonly #sender: Sender
  #nextId = OWN_IDS + Math.floor(Math.random() * (OWN_IDS / 2))
  #isAttached = false

  constructor(options: SideOptions) {
    this.#options = options
    this.sums = new Sums(options.clock)
    this.#sender = new Sender(options, (file, ending) => this.end([file.id], ending))
  }

  *records(): Generator<FileRecord> {
    for (const { record } of this.#files.values()) yield record
  }

  get isBusy(): boolean {
    return this.#sender.isBusy
  }

  attach(link: Link): void {
    this.#isAttached = true
    for (const file of this.#files.values()) file.forgetAsked()
    const offered = [...this.#files.values()].filter((file) => file.isOffered)
    this.#offer(offered)
    tellStates(this.records(), 'mine', this.#options.send)
    this.#sender.attach(link)
  }

  detach(): void {
    this.#isAttached = false
    this.#sender.detach()
  }

  /** Offers files, and gives them numbers. */
  offer(sources: readonly Source[]): void {
    this.add(
      sources.map((source) => {
        // A source may have more in its `info` than is for others.
        const { path, size, type, modifiedAt } = source.info
        return { id: this.#nextId++, path, size, type, modifiedAt, source }
      }),
    )
  }

  /** Offers files that have numbers already. */
  add(files: readonly SharedFile[]): void {
    const added: OutFile[] = []
    for (const { source, id, path, size, type, modifiedAt: time } of files) {
      if (this.#files.has(id)) {
        if (source !== undefined) this.provide(id, source)
        continue
      }
      const modifiedAt = Number.isFinite(time) ? time : undefined
      const info: OfferedFile = { id, path, size, type: type.slice(0, TYPE_LENGTH_MAX), modifiedAt }
      const file = new OutFile(info, source, this.sums, this.#options.changed)
      this.#files.set(id, file)
      this.#options.added(file.record)
      const problem =
        this.#files.size > FILES_MAX ? `only ${FILES_MAX} files can be offered` : problemOf(info)
      if (problem === undefined) added.push(file)
      else file.spoil(problem)
    }
    this.#offer(added)
    if (this.#isAttached)
      tellStates(
        added.map(({ record }) => record).filter(({ paused }) => paused.here),
        'mine',
        this.#options.send,
      )
  }

  /** The person has chosen a file again that had no source. */
  provide(id: number, source: Source): void {
    const file = this.#files.get(id)
    if (file === undefined || file.source !== undefined) return
    file.source = source
    this.pause([id], false)
    this.#options.send({ type: 'pause', of: 'mine', files: [id], on: false })
  }

  /** Pauses or resumes files on this side. A file without a source remains paused. */
  pause(ids: Iterable<number>, on: boolean): number[] {
    const files = this.#named(ids).filter(
      ({ record, source }) =>
        record.isUnfinished && record.paused.here !== on && (on || source !== undefined),
    )
    for (const { record } of files) record.pause('here', on)
    this.#sender.wake()
    return files.map(({ id }) => id)
  }

  end(ids: Iterable<number>, { reason, detail, isHeard = false }: Ending): void {
    const ended: number[] = []
    const tell = isHeard ? undefined : toldReason(reason)
    for (const file of this.#named(ids)) {
      if (!file.record.isUnfinished) continue
      file.forgetAsked()
      file.record.phase = { name: 'ended', reason, detail, tell }
      ended.push(file.id)
    }
    tellEnd({ tell, detail }, ended, 'mine', this.#options.send)
    this.#sender.wake()
  }

  /** The other side has forgotten everything: what it had accepted is only offered now. */
  reset(): void {
    for (const file of this.#files.values()) {
      if (!file.record.isActive) continue
      file.forgetAsked()
      file.record.phase = { name: 'offered' }
    }
  }

  /** Returns whether any file was accepted. */
  accepted(ids: readonly number[]): boolean {
    let some = false
    const unknown: number[] = []
    for (const id of ids) {
      const file = this.#files.get(id)
      const { phase } = file?.record ?? {}
      if (file === undefined || phase === undefined || !file.canOffer) unknown.push(id)
      else if (phase.name === 'ended' && !canSendAgain(phase.reason)) {
        const { detail } = phase
        tellEnd({ tell: toldReason(phase.reason) ?? 'stopped', detail }, [id], 'mine', this.#options.send)
      } else {
        some = true
        if (file.record.isActive) continue
        file.forgetAsked()
        file.record.phase = { name: 'accepted' }
      }
    }
    // The other side accepted files that are not here, such as some that were shared before a reload.
    tellEnd(
      { tell: 'stopped', detail: 'the file is not shared any more' },
      unknown,
      'mine',
      this.#options.send,
    )
    return some
  }

  needed({ file: id, size, ranges }: Extract<Control, { type: 'need' }>): void {
    const file = this.#files.get(id)
    if (file?.record.isActive !== true) return
    if (size !== file.record.file.size)
      return this.end([id], {
        reason: 'file-changed',
        detail: 'the receiver knows this file with another size',
      })
    const blocks = blocksOf(file.record.file.size)
    for (const [first, count] of ranges) {
      if (first + count > blocks) return this.#broken(id, 'it asked for bytes beyond the end of the file')
      file.asked.add(first, count)
    }
    if (file.asked.rangeCount > FILE_RANGES_MAX) return this.#broken(id, 'it asked for too many pieces')
    file.isAskedFor = true
    file.hasSentRoot = false
    if (file.asked.size > 0 && file.record.phase.name === 'checking') file.record.phase = { name: 'accepted' }
    this.#sender.asked(file)
  }

  kept({ file: id, bytes }: Extract<Control, { type: 'kept' }>): void {
    const file = this.#files.get(id)
    if (file?.record.isActive !== true || !file.isAskedFor) return
    const { record } = file
    if (bytes > record.file.size) return this.#broken(id, 'it says that it has more than the whole file')
    // What the receiver had before is no speed.
    if (file.isKeptKnown && bytes > record.bytesDone) this.sums.speed.add(bytes - record.bytesDone)
    file.isKeptKnown = true
    record.bytesDone = bytes
    this.#sender.kept()
  }

  done(ids: readonly number[]): void {
    for (const file of this.#named(ids)) {
      if (!file.record.isUnfinished) continue
      if (file.isAskedFor) this.sums.speed.add(file.record.file.size - file.record.bytesDone)
      file.forgetAsked()
      file.record.phase = { name: 'complete', received: undefined }
    }
  }

  rejected(ids: readonly number[]): void {
    this.end(ids, { reason: 'rejected', detail: 'the other side did not want the file', isHeard: true })
  }

  ended({ files, reason, detail }: Extract<Control, { type: 'end' }>): void {
    this.end(files, { reason: heardReason(reason), detail, isHeard: true })
  }

  paused(files: readonly number[], on: boolean): void {
    for (const { record } of this.#named(files)) record.pause('there', on)
    this.#sender.wake()
  }

  granted(bytes: number): void {
    const wrong = this.#sender.grant(bytes)
    if (wrong !== undefined) this.#options.breach(`it sent ${wrong}`)
  }

  tick(): void {
    this.#sender.tick()
  }

  #named(ids: Iterable<number>): OutFile[] {
    const files: OutFile[] = []
    for (const id of ids) {
      const file = this.#files.get(id)
      if (file !== undefined) files.push(file)
    }
    return files
  }

  #offer(files: readonly OutFile[]): void {
    if (!this.#isAttached) return
    for (const page of offerPages(files.map(({ record }) => record.file)))
      this.#options.send({ type: 'offer', files: page })
  }

  #broken(id: number, what: string): void {
    this.end([id], { reason: 'error-there', detail: `the other side broke the protocol: ${what}` })
  }
}

/** Why a file cannot be offered. */
function problemOf({ path, size }: OfferedFile): string | undefined {
  if (path === '') return 'the file has no name'
  if (path.length > PATH_LENGTH_MAX) return `the path is longer than ${PATH_LENGTH_MAX} characters`
  if (!Number.isSafeInteger(size) || size < 0) return 'the size of the file is not known'
  if (size > FILE_BYTES_MAX) return 'the file is larger than 4 PiB'
  return undefined
}
