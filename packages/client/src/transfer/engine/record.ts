import type { EndReason, FileState, OfferedFile, Received, TransferFile } from '../types.js'
import type { WireReason } from './codec.js'
import type { Counted, Sums } from './progress.js'

/** How far a file has come, apart from pauses. */
export type Phase =
  | { name: 'offered' }
  | { name: 'accepted' }
  | { name: 'checking' }
  | { name: 'complete'; received: Received | undefined }
  /** `tell`: what the other side has to hear after each attach. Undefined: it knows. */
  | { name: 'ended'; reason: EndReason; detail: string; tell: WireReason | 'reject' | undefined }

/** What is shown of a file has changed. `isProgress`: merely its bytes. */
export type Changed = (isProgress: boolean) => void

/** A file of either direction. */
export class FileRecord {
  readonly key: string
  readonly direction: 'out' | 'in'
  readonly #changed: Changed
  readonly #sums: Sums
  #counted: Counted | undefined
  #file: OfferedFile
  #phase: Phase = { name: 'offered' }
  #paused = { here: false, there: false }
  #isMissing = false
  #bytesDone = 0
  #isMoving = false
  #isRemoved = false
  #view: TransferFile | undefined

  constructor(direction: 'out' | 'in', file: OfferedFile, sums: Sums, changed: Changed) {
    this.key = `${direction}-${file.id}`
    this.direction = direction
    this.#file = file
    this.#sums = sums
    this.#changed = changed
  }

  get file(): OfferedFile {
    return this.#file
  }

  set file(file: OfferedFile) {
    this.#file = file
    this.#touch(false)
  }

  get phase(): Phase {
    return this.#phase
  }

  set phase(phase: Phase) {
    this.#phase = phase
    if (phase.name === 'complete') this.#bytesDone = this.#file.size
    if (phase.name === 'complete' || phase.name === 'ended') this.#isMoving = false
    this.#touch(false)
  }

  get paused(): { readonly here: boolean; readonly there: boolean } {
    return this.#paused
  }

  get isPaused(): boolean {
    return this.#paused.here || this.#paused.there
  }

  pause(side: 'here' | 'there', on: boolean): void {
    if (this.#paused[side] === on) return
    this.#paused = { ...this.#paused, [side]: on }
    if (on) this.#isMoving = false
    this.#touch(false)
  }

  /** Whether its sender must choose it again. */
  get isMissing(): boolean {
    return this.#isMissing
  }

  set isMissing(isMissing: boolean) {
    if (isMissing === this.#isMissing) return
    this.#isMissing = isMissing
    this.#touch(false)
  }

  get bytesDone(): number {
    return this.#bytesDone
  }

  set bytesDone(bytes: number) {
    if (bytes === this.#bytesDone) return
    this.#bytesDone = bytes
    this.#touch(true)
  }

  get isMoving(): boolean {
    return this.#isMoving
  }

  set isMoving(isMoving: boolean) {
    if (isMoving === this.#isMoving) return
    this.#isMoving = isMoving
    this.#touch(true)
  }

  /** The application has removed it from what it shows. */
  get isRemoved(): boolean {
    return this.#isRemoved
  }

  remove(): void {
    this.#isRemoved = true
    // The content may be large, and nobody can reach it any more.
    if (this.#phase.name === 'complete') this.#phase = { name: 'complete', received: undefined }
    this.#touch(false)
  }

  /** Whether it can still become complete. */
  get isUnfinished(): boolean {
    return this.#phase.name !== 'complete' && this.#phase.name !== 'ended'
  }

  /** Whether it is wanted and not there yet. */
  get isActive(): boolean {
    return this.#phase.name === 'accepted' || this.#phase.name === 'checking'
  }

  /** What it adds to the sums. */
  #count(): Counted | undefined {
    const isComplete = this.#phase.name === 'complete'
    if (this.#isRemoved || !(this.isActive || isComplete)) return undefined
    return { bytes: this.#file.size, bytesDone: this.#bytesDone, isComplete }
  }

  /** As the application sees it. The object is replaced when something changes. */
  get view(): TransferFile {
    return (this.#view ??= {
      ...this.#file,
      kind: 'file',
      key: this.key,
      direction: this.direction,
      bytesDone: this.#bytesDone,
      state: this.#state(),
    })
  }

  #state(): FileState {
    const phase = this.#phase
    // A file that can still be accepted is shown as offered, although its sender may have paused it.
    const canPause = this.isActive || (this.direction === 'out' && this.isUnfinished && this.#paused.here)
    if (canPause && this.isPaused)
      return { name: 'paused', ...this.#paused, ...(this.#isMissing && { isMissing: true }) }
    switch (phase.name) {
      case 'offered':
        return { name: 'offered', ...(this.#isMissing && { isMissing: true }) }
      case 'checking':
        return { name: 'checking' }
      case 'accepted':
        return { name: 'accepted', isMoving: this.#isMoving }
      case 'complete':
        return phase.received === undefined
          ? { name: 'complete' }
          : { name: 'complete', received: phase.received }
      case 'ended':
        return { name: 'ended', reason: phase.reason, detail: phase.detail }
    }
  }

  #touch(isProgress: boolean): void {
    this.#view = undefined
    const counted = this.#count()
    this.#sums.replace(this.#counted, counted)
    this.#counted = counted
    this.#changed(isProgress)
  }
}
