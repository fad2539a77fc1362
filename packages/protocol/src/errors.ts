/**
 * The error table of the native wire. A code is stable; what is true of it here is `temporary`: the same request may
 * succeed later, unchanged. SPEC.md §4.
 */
export const temporary = {
  'bad-frame': false,
  'unknown-type': false,
  'bad-field': false,
  'bad-name': false,
  'bad-version': false,
  'too-deep': false,
  'too-large': false,
  binary: false,
  'not-claimed': false,
  'already-claimed': false,
  'name-taken': false,
  forbidden: false,
  unavailable: false,
  incompatible: false,
  away: true,
  'slow-consumer': true,
  'registry-unavailable': true,
  'rate-limited': true,
  'too-many': false,
  overloaded: true,
  draining: true,
  'relay-refused': false,
} as const satisfies Record<string, boolean>

export type ErrorCode = keyof typeof temporary

/** For people. Apart from the codes, since only nodes say them: a bundled SDK is half a kilobyte smaller without. */
export const errorTexts = {
  'bad-frame': 'the frame is not an event of this protocol',
  'unknown-type': 'no such message type',
  'bad-field': 'a field is missing or malformed',
  'bad-name': 'the name is outside the grammar',
  'bad-version': 'this node does not speak that protocol version',
  'too-deep': 'the frame is nested too deeply',
  'too-large': 'the message is over the size limit',
  binary: 'binary frames are not part of this protocol',
  'not-claimed': 'claim a name before sending',
  'already-claimed': 'this connection holds a name already',
  'name-taken': 'the name is held by another peer, which is connected or may come back',
  forbidden: 'the access rules do not allow this',
  unavailable: 'no peer has this name, or it is no longer the same peer',
  incompatible: 'the other peer speaks another protocol',
  away: 'the peer is away; its name waits for it',
  'slow-consumer': 'the other peer does not read fast enough',
  'registry-unavailable': 'the registry cannot be reached right now',
  'rate-limited': 'too many requests; retry later',
  'too-many': 'over a limit on how many are allowed at once',
  overloaded: 'this node takes no more connections right now',
  draining: 'this node is shutting down; connect again',
  'relay-refused': 'the relay policy of this app does not carry this',
} as const satisfies Record<ErrorCode, string>

export function isErrorCode(input: unknown): input is ErrorCode {
  return typeof input === 'string' && Object.hasOwn(temporary, input)
}

/** What a decoder or a node answers to something it cannot accept. */
export interface ProtocolError {
  code: ErrorCode
  /** What exactly was wrong, for the developer who sent it. */
  detail: string
  /**
   * With `rate-limited` and `overloaded`: when to try again, in milliseconds. With `name-taken`: when the name is free at
   * the latest, if its holder is gone.
   */
  retryAfterMs?: number
}

export function protocolError(code: ErrorCode, detail: string, retryAfterMs?: number): ProtocolError {
  return retryAfterMs === undefined ? { code, detail } : { code, detail, retryAfterMs }
}
