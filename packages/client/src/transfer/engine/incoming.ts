import type { OfferedFile, Store, Target } from '../types.js'
import { StoreError } from '../types.js'
import { Arrival } from './arrival.js'
import { IncomingCredit } from './credit.js'
import { FILES_MAX, OPEN_MAX, RANGES_MAX } from './limits.js'
import type { BlockEnd, Part } from './parts.js'
import { Places } from './places.js'
import { Sums } from './progress.js'
import { canAcceptAgain, heardReason, keepsBlocks, toldReason } from './reasons.js'
import { InFile } from './in-file.js'
import type { FileRecord } from './record.js'
import type { Ending, SideOptions } from './side.js'
import { inPages, tellEnd, tellStates } from './side.js'
import type { Control } from './codec.js'
import { Watch } from './watch.js'

/** The files that the other side offers, and their receiving. */
export class Incoming {
  readonly credit = new IncomingCredit()
  readonly sums: Sums
  readonly #options: SideOptions & { share: () => string }
  readonly #files = new Map<number, InFile>()
  /** Accepted, and their places are not open yet, in order. */
  readonly #waiting = new Set<InFile>()
  /** Their places are open or being opened, in order. */
  readonly #open = new Set<InFile>()
  readonly #places = new Places()
  #isAttached = false
  #isHeld = false
  #moving: InFile | undefined
  readonly #watch = new Watch<InFile>()

  constructor(options: SideOptions & { share: () => string }) {
    this.#options = options
    this.sums = new Sums(options.clock)
  }

  *records(): Generator<FileRecord> {
    for (const { record } of this.#files.values()) yield record
  }

  get isBusy(): boolean {
    return this.#open.size > 0 || this.#moving !== undefined
  }

  attach(): void {
    this.#isAttached = true
    this.credit.begin()
    const { send } = this.#options
    const files = [...this.#files.values()]
    const withPhase = (test: (record: FileRecord) => boolean): Iterable<number> =>
      files.filter(({ record }) => test(record)).map(({ record }) => record.file.id)
    for (const page of inPages(withPhase(({ phase }) => phase.name === 'complete')))
      send({ type: 'done', files: page })
    for (const page of inPages(withPhase(({ isActive }) => isActive))) send({ type: 'accept', files: page })
    tellStates(this.records(), 'yours', send)
    for (const file of this.#open) this.#ask(file)
    this.#grant()
  }

  detach(): void {
    this.#isAttached = false
    for (const { arrival } of this.#open) arrival?.dropParts()
    this.#setMoving(undefined)
  }

  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
    this.#grant()
  }

  offer(files: readonly OfferedFile[]): void {
    for (const file of files) {
      const known = this.#files.get(file.id)
      if (known?.offeredAgain(file) === false)
        this.end([file.id], { reason: 'file-changed', detail: 'the sender offers another file in its place' })
      if (known !== undefined) continue
      if (this.#files.size >= FILES_MAX)
        return this.#options.breach(`it offered more than ${FILES_MAX} files`)
      const added = new InFile(file, this.sums, this.#options.changed)
      this.#files.set(file.id, added)
      this.#options.added(added.record)
    }
  }

  /** Accepts files that were offered, in this order. */
  accept(ids: readonly number[], store: Store): void {
    const accepted: number[] = []
    for (const file of this.#named(ids)) {
      const { phase, file: info } = file.record
      if (phase.name !== 'offered' && !(phase.name === 'ended' && canAcceptAgain(phase.reason))) continue
      file.accept(store)
      if (info.size > store.bytesMax) {
        const detail = `the file is too large: at most ${store.bytesMax} bytes can be stored here`
        this.end([info.id], { reason: 'error-here', detail })
        continue
      }
      this.#waiting.add(file)
      accepted.push(info.id)
    }
    for (const files of inPages(accepted)) this.#options.send({ type: 'accept', files })
    this.openNext()
  }

  /** Pauses or resumes accepted files on this side. Returns those that this changed. */
  pause(ids: Iterable<number>, on: boolean): number[] {
    const files = this.#named(ids).filter(({ record }) => record.isActive && record.paused.here !== on)
    for (const { record } of files) record.pause('here', on)
    this.openNext()
    return files.map(({ record }) => record.file.id)
  }

  /** Ends files that are not finished. */
  end(ids: Iterable<number>, { reason, detail, isHeard = false }: Ending): void {
    const ended: number[] = []
    const tell = isHeard ? undefined : toldReason(reason)
    for (const file of this.#named(ids)) {
      const { record, arrival } = file
      if (!record.isUnfinished || arrival?.isFinishing === true) continue
      this.#waiting.delete(file)
      this.#open.delete(file)
      file.arrival = undefined
      record.phase = { name: 'ended', reason, detail, tell }
      ended.push(record.file.id)
      if (arrival === undefined) continue
      const stopped = arrival.stop(keepsBlocks(reason) ? 'close' : 'discard')
      const { store } = file
      file.after(() => stopped.then(() => this.#leave(store)))
    }
    tellEnd({ tell, detail }, ended, 'yours', this.#options.send)
    this.openNext()
  }

  /** Opens the places of the next files. Called when a pause may have ended, too. */
  openNext(): void {
    for (const file of this.#waiting) {
      if (this.#open.size >= OPEN_MAX) return
      if (file.record.isPaused || this.#places.isFull(file.store)) continue
      this.#waiting.delete(file)
      this.#open.add(file)
      this.#places.take(file.store)
      const { attempt } = file
      file.after(() => this.#openPlace(file, attempt))
    }
  }

  part({ file: id, block, offset, bytes }: Part): void {
    if (!this.credit.receive(bytes.length)) return this.#options.breach('it sent more than it was allowed to')
    const file = this.#files.get(id)
    if (file?.arrival === undefined) {
      this.credit.release(bytes.length)
      return this.#grant()
    }
    this.#watch.heard()
    file.hasBytes = true
    this.#setMoving(file)
    this.#judge(file, file.arrival.part(block, offset, bytes))
  }

  blockEnd({ file: id, block, hash }: BlockEnd): void {
    const file = this.#files.get(id)
    if (file?.arrival !== undefined) this.#judge(file, file.arrival.blockEnd(block, hash))
  }

  root({ file, hash }: Extract<Control, { type: 'root' }>): void {
    const bytes = Uint8Array.from({ length: hash.length / 2 }, (_, i) =>
      parseInt(hash.slice(2 * i, 2 * i + 2), 16),
    )
    this.#files.get(file)?.arrival?.root(bytes)
  }

  hashing({ file }: Extract<Control, { type: 'hashing' }>): void {
    if (this.#watch.file?.id === file) this.#watch.heard()
  }

  ended({ files, reason, detail }: Extract<Control, { type: 'end' }>): void {
    this.end(files, { reason: heardReason(reason), detail, isHeard: true })
  }

  /** `isMissing`: the sender must choose the files again. */
  paused(files: readonly number[], on: boolean, isMissing = false): void {
    for (const { record } of this.#named(files)) {
      record.pause('there', on)
      record.isMissing = on && isMissing
    }
    this.openNext()
  }

  /** Counts a second in which nothing came, and ends the file whose turn it is after too many [FT16]. */
  tick(): void {
    const ending = this.#watch.tick(this.#turn())
    const { file, isQuiet } = this.#watch
    if (isQuiet) this.#setMoving(undefined)
    if (ending !== undefined && file !== undefined) this.end([file.id], ending)
  }

  /** The file that the sender should be sending now, if it may send. */
  #turn(): InFile | undefined {
    if (!this.#isAttached || this.#isHeld) return undefined
    for (const file of this.#open) {
      const { arrival, record } = file
      if (arrival === undefined || record.isPaused || arrival.isFinishing) continue
      if (arrival.hasAllBlocks ? arrival.awaitsRoot : this.credit.isOpen) return file
    }
    return undefined
  }

  #named(ids: Iterable<number>): InFile[] {
    const files: InFile[] = []
    for (const id of ids) {
      const file = this.#files.get(id)
      if (file !== undefined) files.push(file)
    }
    return files
  }

  async #openPlace(file: InFile, attempt: object): Promise<void> {
    const isCurrent = (): boolean => file.attempt === attempt && this.#open.has(file)
    const { record, store } = file
    if (store === undefined || !isCurrent()) return this.#leave(store)
    const { id } = record.file
    try {
      const target = await store.open(record.file, this.#options.share())
      if (isCurrent()) return this.#begin(file, target)
      await file.leave(target)
    } catch (error) {
      if (!(error instanceof StoreError)) this.#options.onError(error)
      const detail = error instanceof StoreError ? error.message : 'the file could not be stored'
      if (isCurrent()) this.end([id], { reason: 'error-here', detail })
    }
    this.#leave(store)
  }

  /** A place is closed, so another one may be opened. */
  #leave(store: Store | undefined): void {
    this.#places.leave(store)
    this.openNext()
  }

  #begin(file: InFile, target: Target): void {
    const { record, store } = file
    const { id, size } = record.file
    const arrival = new Arrival(record.file, target, this.credit, {
      need: (ranges) => this.#options.send({ type: 'need', file: id, size, ranges }),
      kept: () => this.#kept(file, arrival),
      checking: () => (record.phase = { name: 'checking' }),
      complete: (received) => {
        this.#open.delete(file)
        file.arrival = undefined
        record.phase = { name: 'complete', received }
        this.#options.send({ type: 'done', files: [id] })
        this.#leave(store)
      },
      failed: (reason, detail) => this.end([id], { reason, detail }),
      released: () => this.#grant(),
      onError: this.#options.onError,
    })
    file.arrival = arrival
    record.bytesDone = arrival.bytesDone
    if (this.#isAttached) this.#ask(file)
    arrival.start()
  }

  /** Tells the sender which blocks are missing. */
  #ask({ record, arrival }: InFile): void {
    if (arrival === undefined) return
    const { id: file, size } = record.file
    const { needed } = arrival
    for (let at = 0; at === 0 || at < needed.length; at += RANGES_MAX)
      this.#options.send({ type: 'need', file, size, ranges: needed.slice(at, at + RANGES_MAX) })
    this.#options.send({ type: 'kept', file, bytes: arrival.bytesDone })
  }

  #kept({ record }: InFile, { bytesDone }: Arrival): void {
    this.sums.speed.add(bytesDone - record.bytesDone)
    this.#watch.kept()
    record.bytesDone = bytesDone
    this.#options.send({ type: 'kept', file: record.file.id, bytes: bytesDone })
  }

  #judge({ record }: InFile, wrong: string | undefined): void {
    if (wrong !== undefined)
      this.end([record.file.id], {
        reason: 'error-there',
        detail: `the other side broke the protocol: ${wrong}`,
      })
  }

  #setMoving(file: InFile | undefined): void {
    if (file === this.#moving) return
    if (this.#moving !== undefined) this.#moving.record.isMoving = false
    if (file !== undefined) file.record.isMoving = true
    this.#moving = file
  }

  #grant(): void {
    if (!this.#isAttached || this.#isHeld) return
    const bytes = this.credit.next()
    if (bytes !== undefined) this.#options.send({ type: 'grant', bytes })
  }
}
