import type { EndReason } from '../types.js'
import { FIRST_BYTE_SECONDS, QUIET_SECONDS, SLOW_SECONDS } from './limits.js'

/** What the watch must know of a file that is being received. */
export interface Watched {
  /** Whether a byte came since it was accepted. */
  hasBytes: boolean
  /** Whether only its root is missing. */
  awaitsRoot: boolean
}

/**
 * Watches the file whose turn it is [FT16]. It counts ticks of a second instead of reading the clock, because a computer
 * that slept would otherwise seem to have waited.
 */
export class Watch<F extends Watched> {
  #file: F | undefined
  /** How long it could have sent and did not. */
  #seconds = 0
  #quietSeconds = 0

  /** Whether nothing moves. */
  get isQuiet(): boolean {
    return this.#quietSeconds > QUIET_SECONDS
  }

  /** The file that is watched. */
  get file(): F | undefined {
    return this.#file
  }

  /** Something came. */
  heard(): void {
    this.#seconds = 0
    this.#quietSeconds = 0
  }

  /** A block was kept. */
  kept(): void {
    this.#quietSeconds = 0
  }

  /** A second has passed. `file`: whose turn it is, if the sender could send. Returns why it must end. */
  tick(file: F | undefined): { reason: EndReason; detail: string } | undefined {
    this.#quietSeconds++
    if (file !== this.#file) this.#seconds = 0
    this.#file = file
    if (file === undefined) return undefined
    this.#seconds++
    if (!file.hasBytes && !file.awaitsRoot) {
      if (this.#seconds < FIRST_BYTE_SECONDS) return undefined
      return { reason: 'first-byte-timeout', detail: `no byte came within ${FIRST_BYTE_SECONDS} seconds` }
    }
    if (this.#seconds < SLOW_SECONDS) return undefined
    return { reason: 'too-slow', detail: `nothing came for ${SLOW_SECONDS} seconds` }
  }
}
