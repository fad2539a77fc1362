// The answer to one Binding request (RFC 8489 §3 and §6.3): a pure function from bytes to bytes.
import {
  FAMILY_IPV4,
  FAMILY_IPV6,
  ATTRIBUTE,
  FIRST_OPTIONAL_TYPE,
  MAGIC_COOKIE,
  xorAddress,
} from './attributes.js'
import { IPV4_BYTES } from './address.js'
import { seal, verifyFingerprint } from './integrity.js'
import {
  type Message,
  BINDING_REQUEST,
  BINDING_SUCCESS,
  HEADER_BYTES,
  decode,
  encode,
  headerFault,
} from './message.js'

/**
 * The smallest MTU of IPv6 (RFC 8200 §5). RFC 8489 §6.1 keeps a message below the path's MTU, so no real client
 * sends a longer Binding request.
 */
export const REQUEST_MAX_BYTES = 1280

/** Why a request gets no answer. */
export type Refusal =
  | 'malformed' // not a STUN message, or one that breaks RFC 8489
  | 'no-cookie' // another protocol, or classic STUN (RFC 3489)
  | 'oversized' // longer than REQUEST_MAX_BYTES
  | 'not-binding-request' // an indication, an answer, or another method
  | 'bad-fingerprint' // RFC 8489 §6.3: silently discarded

/** Checks only the header. Undefined if it is the header of a Binding request. */
export function refusal(request: Buffer): Refusal | undefined {
  if (request.length > REQUEST_MAX_BYTES) return 'oversized'
  const fault = headerFault(request)
  if (fault === 'no-cookie') return 'no-cookie'
  if (fault !== undefined) return 'malformed'
  return request.readUInt16BE(0) === BINDING_REQUEST ? undefined : 'not-binding-request'
}

/**
 * Answers a request that `refusal` accepted. The source's address is the first `length` (4 or 16) bytes of `ip`.
 * The answer carries FINGERPRINT if the request did.
 */
export function answer(request: Buffer, ip: Uint8Array, length: number, port: number): Buffer | Refusal {
  // Nearly every client sends a bare header, and there is nothing to decode.
  if (request.length === HEADER_BYTES) return success(request, ip, length, port)
  const decoded = decode(request)
  if (!decoded.ok) return 'malformed'
  const fingerprint = verifyFingerprint(request)
  if (fingerprint === 'invalid') return 'bad-fingerprint'
  const unknown = unknownRequired(decoded.message)
  const bytes = unknown.length > 0 ? refuse(decoded.message, unknown) : success(request, ip, length, port)
  return fingerprint === 'valid' ? seal(bytes, { fingerprint: true }) : bytes
}

/** Lists each type once, however often the request has it, so that the answer does not outgrow the request. */
function unknownRequired(message: Message): number[] {
  const types = new Set<number>()
  for (const attribute of message.attributes) {
    if (attribute.kind === 'unknown' && attribute.type < FIRST_OPTIONAL_TYPE) types.add(attribute.type)
  }
  return [...types]
}

/** Error 420 (RFC 8489 §6.3.1). The reason phrase may be empty (§14.8): a longer answer only helps an attacker. */
function refuse(message: Message, types: readonly number[]): Buffer {
  return encode({
    class: 'error',
    method: message.method,
    transactionId: message.transactionId,
    attributes: [
      { kind: 'error-code', code: 420, reason: '' },
      { kind: 'unknown-attributes', types },
    ],
  })
}

/** Written by hand rather than by `encode`, so that an answer allocates one buffer. */
function success(request: Buffer, ip: Uint8Array, length: number, port: number): Buffer {
  // RFC 8489 §14.2: type, length, family, port, address.
  const valueBytes = 4 + length
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + 4 + valueBytes)
  bytes.writeUInt16BE(BINDING_SUCCESS, 0)
  bytes.writeUInt16BE(4 + valueBytes, 2)
  // Copies the cookie and the transaction id.
  request.copy(bytes, 4, 4, HEADER_BYTES)
  bytes.writeUInt16BE(ATTRIBUTE.xorMappedAddress, 20)
  bytes.writeUInt16BE(valueBytes, 22)
  bytes.writeUInt16BE(length === IPV4_BYTES ? FAMILY_IPV4 : FAMILY_IPV6, 24)
  bytes.writeUInt16BE(port ^ (MAGIC_COOKIE >>> 16), 26)
  for (let i = 0; i < length; i++) bytes[28 + i] = ip[i] ?? 0
  // The mask beyond the cookie is the transaction id: bytes 8 to 20 of the header.
  xorAddress(bytes, 28, length, bytes.subarray(8, HEADER_BYTES))
  return bytes
}
