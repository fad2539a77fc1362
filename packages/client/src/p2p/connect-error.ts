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

/** What a stage means, and what to do, where nothing more is known. */
export const stageTexts: Record<FailureStage, string> = {
  'not-found': 'no peer holds this name; `watch` it to hear when its peer is there',
  'no-answer': 'it did not answer in time: it is away or busy, or does not open channels',
  ice: 'no path leads there. A TURN server may help; `peer.p2p.diagnose()` says more',
  dtls: 'a path was found, but not secured in time; try again',
  timeout: 'a path was found and secured, but no channel opened in time; try again',
}

/** `connect` failed. `stage` says how far it came; the message, what happened and what to do. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError'
  readonly stage: FailureStage
  readonly peer: string

  constructor(peer: string, stage: FailureStage, detail = stageTexts[stage]) {
    super(`no channel to ${peer} (stage ${stage}): ${detail}`)
    this.peer = peer
    this.stage = stage
  }
}
