import type { CloseReason, ErrorCode } from '@peerage/protocol'
import { finalTexts } from '@peerage/protocol'

/** How a message ended, when it was not delivered. */
export type SendFailure =
  /** No peer has this name, or it is no longer the same peer. Nothing more will be tried. */
  | 'unavailable'
  /** Not acknowledged by the deadline: it may or may not have arrived. */
  | 'timeout'
  /** Kept back by a limit of the node or of its relay policy until the deadline: it did not arrive. */
  | 'rate-limited'
  /** At once: what this peer holds for others is at its bound. Nothing was sent. */
  | 'queue-full'
  /** At once: over the size of one message. */
  | 'too-large'
  /** The other peer cannot read it: it speaks another protocol (PeerJS), or another version of this one. */
  | 'incompatible'
  /** The relay policy of the app does not carry this through the server. */
  | 'relay-refused'
  /** The caller's AbortSignal; it may or may not have arrived. */
  | 'aborted'
  /** This peer was closed; it may or may not have arrived. */
  | 'closed'

export type PeerageErrorCode =
  | ErrorCode
  | CloseReason
  | SendFailure
  /** No connection to a node could be made, or the one there was broke: it is tried again. */
  | 'unreachable'
  /** A part of the SDK is a file of its own, and it could not be had. */
  | 'not-loaded'

export interface PeerageErrorOptions extends ErrorOptions {
  /** Milliseconds until it is worth another try; of a name that is taken, until it is free at the latest. */
  retryAfterMs?: number | undefined
}

/**
 * Every error of the SDK that is not a bug. `code` is stable: the wire's error table, a close reason, a send's end, or the SDK's own.
 * The message is for people: what happened, and what to do.
 */
export class PeerageError extends Error {
  override readonly name = 'PeerageError'
  readonly code: PeerageErrorCode
  readonly retryAfterMs: number | undefined

  constructor(code: PeerageErrorCode, detail: string = textOf(code), options: PeerageErrorOptions = {}) {
    super(detail, options)
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }
}

/** What the SDK finds out by itself: what happened, and what to do. */
const texts: Partial<Record<PeerageErrorCode, string>> = {
  unavailable:
    'no peer holds this name, or another one does by now; `watch` it to hear when its peer is there, then send again',
  timeout:
    'no answer came in time: its peer is away, or its application does not listen for `message`. It may have arrived: ask its application, or send again with a longer deadline',
  'rate-limited':
    'a limit of the node kept it back until its deadline, so it did not arrive; send less at once, or over a channel',
  'queue-full':
    'too much waits to be sent from here already, so nothing was sent; wait for earlier sends to end',
  'too-large':
    'it is larger than one message may be, so nothing was sent; divide it, or send it over a channel',
  incompatible:
    'the other peer cannot read it: it speaks another protocol (PeerJS), or another version of this one',
  'relay-refused':
    'the relay policy of this app does not carry it through the server; open a channel with `peer.p2p.connect`, then send again',
  aborted: 'its signal was aborted; it may have arrived',
  closed: 'this peer is closed, `peer.state` says why; `connect` makes a new one',
  'not-claimed': 'this peer has no name yet: wait until `connect` has resolved',
  unreachable: 'no node can be reached',
}

/** What to do about an answer of a node that ends a peer. */
const remedies: Partial<Record<PeerageErrorCode, string>> = {
  'name-taken':
    'To be that peer again, `connect` with its `secret`, or with the `storage` that kept it. `leave()` gives a name back at once. Or take another name.',
  forbidden: 'Look at `token`, `app` and `name`, and at the rules of the tier.',
  'bad-version': 'The SDK and the node are of different versions: update the older one.',
  superseded: 'Whoever shows the same `secret` is the same peer: give each its own.',
  'token-expired': 'A function as `token` makes a fresh one each time.',
}

export function textOf(code: PeerageErrorCode): string {
  return texts[code] ?? withRemedy(code, finalTextOf(code) ?? 'the node closed the connection')
}

/** What a node said, and what to do about it. */
export function withRemedy(code: PeerageErrorCode, said: string): string {
  const remedy = remedies[code]
  return remedy === undefined ? said : `${said}. ${remedy}`
}

function finalTextOf(code: PeerageErrorCode): string | undefined {
  return Object.hasOwn(finalTexts, code) ? finalTexts[code as CloseReason] : undefined
}
