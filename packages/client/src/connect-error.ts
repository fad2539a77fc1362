import type { FailureStage } from './negotiation.js'

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
