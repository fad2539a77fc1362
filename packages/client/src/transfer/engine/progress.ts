import type { Clock } from '../../lib/clock.js'
import type { Progress } from '../types.js'

/** The rate is over this many seconds. */
const SECONDS = 5

/** How fast bytes move, over the last seconds. */
export class Speed {
  readonly #clock: Clock
  /** Bytes by second, the latest last. */
  #seconds: { at: number; bytes: number }[] = []
  #startedAt: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(bytes: number): void {
    const at = Math.floor(this.#clock.now() / 1_000)
    const latest = this.#seconds.at(-1)
    if (latest?.at === at) latest.bytes += bytes
    else this.#seconds.push({ at, bytes })
    this.#startedAt ??= this.#clock.now()
    this.#forget(at)
  }

  /** 0 if nothing moved. */
  get perSecond(): number {
    const now = this.#clock.now()
    this.#forget(Math.floor(now / 1_000))
    const first = this.#seconds[0]
    if (first === undefined || this.#startedAt === undefined) {
      this.#startedAt = undefined
      return 0
    }
    const sum = this.#seconds.reduce((total, { bytes }) => total + bytes, 0)
    const ms = now - Math.max(this.#startedAt, first.at * 1_000)
    return Math.round((sum * 1_000) / Math.max(1_000, ms))
  }

  #forget(second: number): void {
    // A second in the future: the clock was set back.
    this.#seconds = this.#seconds.filter(({ at }) => at > second - SECONDS && at <= second)
  }
}

/** What a file adds to the sums. */
export interface Counted {
  bytes: number
  bytesDone: number
  isComplete: boolean
}

/** The sums of one direction. Each file tells what it adds, so nobody has to add up thousands of files at each change. */
export class Sums {
  readonly speed: Speed
  #files = 0
  #filesComplete = 0
  #bytes = 0
  #bytesDone = 0

  constructor(clock: Clock) {
    this.speed = new Speed(clock)
  }

  /** A file adds something else than before. Undefined: nothing. */
  replace(before: Counted | undefined, after: Counted | undefined): void {
    if (before !== undefined) this.#add(before, -1)
    if (after !== undefined) this.#add(after, 1)
  }

  /** The bytes that are wanted and not there yet. */
  get bytesLeft(): number {
    return this.#bytes - this.#bytesDone
  }

  get progress(): Progress {
    const { bytesLeft } = this
    const bytesPerSecond = this.speed.perSecond
    return {
      files: this.#files,
      filesComplete: this.#filesComplete,
      bytes: this.#bytes,
      bytesDone: this.#bytesDone,
      bytesPerSecond,
      secondsLeft:
        bytesLeft === 0 ? 0 : bytesPerSecond > 0 ? Math.ceil(bytesLeft / bytesPerSecond) : undefined,
    }
  }

  #add({ bytes, bytesDone, isComplete }: Counted, sign: 1 | -1): void {
    this.#files += sign
    this.#filesComplete += isComplete ? sign : 0
    this.#bytes += sign * bytes
    this.#bytesDone += sign * bytesDone
  }
}
