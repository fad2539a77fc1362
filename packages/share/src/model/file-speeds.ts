import type { TransferFile } from '@peerage/client/transfer'

/** Over how many milliseconds the speed of a file is measured. */
const WINDOW_MS = 4_000
/** After a shorter time, a speed says nothing. */
const FIRST_MS = 500

interface Sample {
  at: number
  bytesDone: number
}

/** How fast each file moves, from what it had at earlier looks. */
export class FileSpeeds {
  #samples = new Map<string, readonly Sample[]>()

  /** `at`: the time of this look, in milliseconds. */
  look(files: readonly TransferFile[], at: number): void {
    const next = new Map<string, readonly Sample[]>()
    for (const { key, state, bytesDone } of files) {
      if (state.name !== 'accepted' || !state.isMoving) continue
      const before = this.#samples.get(key) ?? []
      // The last sample before the window stays, so that the samples always span it.
      const from = before.findLastIndex((sample) => sample.at <= at - WINDOW_MS)
      next.set(key, [...before.slice(Math.max(0, from)), { at, bytesDone }])
    }
    this.#samples = next
  }

  /** In bytes a second. 0 if it is not known yet, or if nothing moves. */
  of(key: string): number {
    const samples = this.#samples.get(key) ?? []
    const [first, last] = [samples[0], samples.at(-1)]
    if (first === undefined || last === undefined || last.at - first.at < FIRST_MS) return 0
    return Math.max(0, ((last.bytesDone - first.bytesDone) / (last.at - first.at)) * 1000)
  }
}
