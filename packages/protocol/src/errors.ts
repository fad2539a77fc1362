/**
 * The error codes of the native wire (SPEC.md §6). Codes are stable. True means temporary: the same request may succeed
 * later, unchanged.
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
  'bad-token': false,
  'token-expired': false,
  banned: false,
  'access-unavailable': true,
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

/** The code with which a node or a decoder refuses something. */
export type ErrorCode = keyof typeof temporary

/** The texts are separate from the codes because only nodes send them. So a bundled SDK is half a kilobyte smaller. */
export const errorTexts = {
  'bad-frame': 'the packet is not an event of this protocol; send 42["type",{…}]',
  'unknown-type': 'this node knows no frame of this type',
  'bad-field': 'a field is missing or malformed',
  'bad-name': 'the name must be 1 to 128 bytes of printable UTF-8',
  'bad-version': 'this node does not speak this version of the protocol',
  'too-deep': 'the frame is nested too deeply',
  'too-large': 'the message is over the size limit',
  binary: 'binary frames are not part of this protocol; send text frames',
  'not-claimed': 'this connection has no name yet; claim one first',
  'already-claimed': 'this connection has a name, or is claiming one',
  'name-taken': 'the name is held by another peer, which is connected or may come back',
  forbidden: 'the access rules do not allow this',
  'bad-token': 'the access token is missing or not valid here',
  'token-expired': 'the access token has expired; get a new one',
  banned: 'an application server has banned this name or this user',
  'access-unavailable': 'the access rules cannot be checked right now; try again',
  unavailable: 'nobody holds this name, or another peer holds it now',
  incompatible: 'the other peer speaks another protocol',
  away: 'the peer is not connected now, and its name is kept for it',
  'slow-consumer': 'the other peer does not read fast enough',
  'registry-unavailable': 'the registry cannot be reached right now; try again',
  'rate-limited': 'too many requests; retry later',
  'too-many': 'more than the limit allows at once',
  overloaded: 'this node takes no more connections right now; try again later',
  draining: 'this node is shutting down; connect again',
  'relay-refused': 'the relay policy of this app does not allow this message',
} as const satisfies Record<ErrorCode, string>

export function isErrorCode(input: unknown): input is ErrorCode {
  return typeof input === 'string' && Object.hasOwn(temporary, input)
}

/** Why a decoder or a node refuses something. */
export interface ProtocolError {
  code: ErrorCode
  /** For the developer who sent it: what exactly was wrong. */
  detail: string
  /**
   * With `rate-limited` and `overloaded`: how many milliseconds to wait before another attempt. With `name-taken`: after
   * this time the name is free, if its holder does not come back.
   */
  retryAfterMs?: number
}

export function protocolError(code: ErrorCode, detail: string, retryAfterMs?: number): ProtocolError {
  return retryAfterMs === undefined ? { code, detail } : { code, detail, retryAfterMs }
}
