import type { SharedFile, TransferControls } from '../sharing.js'
import type { Conduit, EndReason } from '../types.js'

/** What a session needs of the transfer with its peer. */
export interface Engine extends TransferControls {
  /** Goes on over this conduit, in place of the one before. */
  attach(conduit: Conduit): void
  /** The conduit is lost. */
  detach(): void
  /** While true, the other side may send no file. */
  hold(isHeld: boolean): void
  /** Ends all files that have not ended. */
  end(reason: EndReason, detail: string): void
}
