import type { CloseReason, ErrorCode } from '@peerage/protocol'
import type { SendFailure } from './signaling.js'

/**
 * Every error of the SDK that is not a bug. `code` is stable: the wire's error table, a close reason, a send's end, or
 * `not-loaded`: a part of the SDK is a file of its own, and it could not be had.
 */
export class PeerageError extends Error {
  override readonly name = 'PeerageError'
  readonly code: ErrorCode | CloseReason | SendFailure | 'not-loaded'

  constructor(code: PeerageError['code'], detail: string = code) {
    super(detail)
    this.code = code
  }
}
