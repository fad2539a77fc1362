import type { CloseReason, ErrorCode } from '@peerage/protocol'
import type { SendFailure } from './signaling.js'

/** Every error of the SDK that is not a bug. `code` is stable: the wire's error table, a close reason, or a send's end. */
export class PeerageError extends Error {
  override readonly name = 'PeerageError'
  readonly code: ErrorCode | CloseReason | SendFailure

  constructor(code: ErrorCode | CloseReason | SendFailure, detail: string = code, options?: ErrorOptions) {
    super(detail, options)
    this.code = code
  }
}
