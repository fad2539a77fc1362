import type { Clock } from '../../lib/clock.js'
import type { Progress, TransferFile } from '../types.js'

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

/** The sums of one direction. */
export function progressOf(
  files: Iterable<{ view: TransferFile; isCounted: boolean }>,
  bytesPerSecond: number,
): Progress {
  const sums = { files: 0, filesComplete: 0, bytes: 0, bytesDone: 0 }
  for (const { view, isCounted } of files) {
    if (!isCounted) continue
    sums.files++
    if (view.state.name === 'complete') sums.filesComplete++
    sums.bytes += view.size
    sums.bytesDone += view.bytesDone
  }
  const left = sums.bytes - sums.bytesDone
  const secondsLeft = left === 0 ? 0 : bytesPerSecond > 0 ? Math.ceil(left / bytesPerSecond) : undefined
  return { ...sums, bytesPerSecond, secondsLeft }
}
