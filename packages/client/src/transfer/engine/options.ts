import type { Clock } from '../../lib/clock.js'
import type { Store } from '../types.js'

/** The options of `Transfer`. */
export interface TransferOptions {
  /** Where files go that are accepted without naming a store. */
  store: Store
  /** Identifies the share, so that the store finds what it kept before. A function if it is known only later. */
  share: string | (() => string)
  clock: Clock
  /** The largest payload of a part, in bytes. Default: 128 KiB. It is smaller if a conduit carries less. */
  partBytesMax?: number | undefined
  /** Gets errors of the program, such as one that a listener threw. */
  onError: (error: unknown) => void
  /**
   * The other side broke the protocol. All unfinished files have ended as `error-there`, and nothing more is taken from
   * the conduit, so the session should end. `detail` is a sentence for people.
   */
  onBroken?: ((detail: string) => void) | undefined
}
