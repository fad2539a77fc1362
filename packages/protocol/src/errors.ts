/**
 * The error table of the native wire. A code is stable; `temporary` says whether the same request may
 * succeed later, unchanged. SPEC.md §4.
 */
export const errors = {
  'bad-frame': { temporary: false, text: 'the frame is not an event of this protocol' },
  'unknown-type': { temporary: false, text: 'no such message type' },
  'bad-field': { temporary: false, text: 'a field is missing or malformed' },
  'bad-name': { temporary: false, text: 'the name is outside the grammar' },
  'bad-version': { temporary: false, text: 'this node does not speak that protocol version' },
  'too-deep': { temporary: false, text: 'the frame is nested too deeply' },
  'too-large': { temporary: false, text: 'the message is over the size limit' },
  binary: { temporary: false, text: 'binary frames are not part of this protocol' },
  'not-claimed': { temporary: false, text: 'claim a name before sending' },
  'already-claimed': { temporary: false, text: 'this connection holds a name already' },
  'name-taken': { temporary: false, text: 'the name is taken' },
  forbidden: { temporary: false, text: 'the access rules do not allow this' },
  unavailable: { temporary: false, text: 'no peer has this name, or it is no longer the same peer' },
  incompatible: { temporary: false, text: 'the other peer speaks another protocol' },
  away: { temporary: true, text: 'the peer is away; its name waits for it' },
  'slow-consumer': { temporary: true, text: 'the other peer does not read fast enough' },
  'registry-unavailable': { temporary: true, text: 'the registry cannot be reached right now' },
  'rate-limited': { temporary: true, text: 'too many requests; retry later' },
  'too-many': { temporary: false, text: 'over a limit on how many are allowed at once' },
  overloaded: { temporary: true, text: 'this node takes no more connections right now' },
  draining: { temporary: true, text: 'this node is shutting down; connect again' },
  'relay-refused': { temporary: false, text: 'the relay policy of this app does not carry this' },
} as const satisfies Record<string, { temporary: boolean; text: string }>

export type ErrorCode = keyof typeof errors

export function isErrorCode(input: unknown): input is ErrorCode {
  return typeof input === 'string' && Object.hasOwn(errors, input)
}

/** What a decoder or a node answers to something it cannot accept. */
export interface ProtocolError {
  code: ErrorCode
  /** What exactly was wrong, for the developer who sent it. */
  detail: string
  /** With `rate-limited` and `overloaded`: when to try again, in milliseconds. */
  retryAfterMs?: number
}

export function protocolError(code: ErrorCode, detail: string, retryAfterMs?: number): ProtocolError {
  return retryAfterMs === undefined ? { code, detail } : { code, detail, retryAfterMs }
}
