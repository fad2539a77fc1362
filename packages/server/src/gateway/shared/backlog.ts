import type { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'

/** The sum is made anew so often at most: between, it may be passed by what one node takes in within this time. */
const SUM_EVERY_MS = 100

/** What waits to be read by all peers of a node together. Costs nothing while all of them read. */
export class Backlog {
  readonly #mostBytes: number
  readonly #clock: Clock
  readonly #behind = new Set<Duplex>()
  #summedAt = Number.NEGATIVE_INFINITY
  #bytes = 0

  /** 0: no limit. */
  constructor(mostBytes: number, clock: Clock) {
    this.#mostBytes = mostBytes
    this.#clock = clock
  }

  /** Whether more waits than may. Takes note of a stream that is behind. */
  isOver(stream: Duplex): boolean {
    if (this.#mostBytes === 0) return false
    this.#behind.add(stream)
    const now = this.#clock.monotonic()
    if (now - this.#summedAt >= SUM_EVERY_MS) {
      this.#summedAt = now
      this.#sum()
    }
    return this.#bytes > this.#mostBytes
  }

  #sum(): void {
    this.#bytes = 0
    for (const stream of this.#behind) {
      if (stream.destroyed || stream.writableLength === 0) this.#behind.delete(stream)
      else this.#bytes += stream.writableLength
    }
  }
}
