/** Where a handshake stood when it ended without a channel. */
export type FailureStage =
  /** No peer has this name. */
  | 'not-found'
  /** The offer went out and no answer came: refused, busy, or away. */
  | 'no-answer'
  /** Answered, but no path was found between the two. */
  | 'ice'
  /** A path was found, but not secured. */
  | 'dtls'
  /** Secured, and yet no channel in time. */
  | 'timeout'

/** `connect` failed. `stage` says how far it came; the message is for people. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError'
  readonly stage: FailureStage
  readonly peer: string

  constructor(peer: string, stage: FailureStage, detail: string) {
    super(`no channel to ${peer}: ${stage}, ${detail}`)
    this.peer = peer
    this.stage = stage
  }
}
