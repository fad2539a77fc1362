/** How far a handshake got before it ended without a channel (SPEC.md, PP6). */
export type FailureStage =
  /** No peer holds this name, its holder speaks another protocol, or the access rules do not let this peer reach it. */
  | 'not-found'
  /** The other peer did not answer the offer, because it refused it, is busy, or is away. */
  | 'no-answer'
  /** The other peer answered, but ICE found no path between the two. Or this peer could not make a connection at all. */
  | 'ice'
  /** ICE found a path, but the DTLS handshake did not finish on it. */
  | 'dtls'
  /** The path was found and secured, but no channel opened by the deadline. */
  | 'timeout'
  /**
   * The two peers have not verified each other: the `verify` of one side did not say yes by the deadline, or one side has
   * no `verify`. The SDK does not try again.
   */
  | 'not-verified'

/** The error text of each stage, for when nothing more is known: what happened, and what to do. */
export const stageTexts: Record<FailureStage, string> = {
  'not-found': 'no peer holds this name; `watch` the name to hear when a peer claims it',
  'no-answer': 'the other peer did not answer in time: it is away or busy, or it does not open channels',
  ice: 'no network path to the other peer was found. A TURN server may help; `peer.p2p.diagnose()` tells more',
  dtls: 'a path was found, but not secured in time; try again',
  timeout: 'a path was found and secured, but no channel opened in time; try again',
  'not-verified':
    'the two peers have not verified each other in time. Both need the option `verify`, and the same secret or keys; if they have them, somebody between the two may have tampered with the connection',
}

/**
 * The error with which `peer.p2p.connect` rejects when no channel opened. The message says what happened and what to do.
 * @example
 * try {
 *   const channel = await peer.p2p.connect('bob')
 * } catch (error) {
 *   if (error instanceof ConnectError && error.stage === 'not-found') console.log(`${error.peer} is not there`)
 *   else throw error
 * }
 */
export class ConnectError extends Error {
  /** Always `ConnectError`. */
  override readonly name = 'ConnectError'
  /** How far the attempt got. */
  readonly stage: FailureStage
  /** The name of the peer that was called. */
  readonly peer: string

  constructor(peer: string, stage: FailureStage, detail = stageTexts[stage]) {
    super(`no channel to ${peer} (stage ${stage}): ${detail}`)
    this.peer = peer
    this.stage = stage
  }
}
