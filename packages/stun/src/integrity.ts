// Adds and verifies MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §14.5 to §14.7).
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { ATTRIBUTE, HMAC_SHA1_BYTES, HMAC_SHA256_MAX_BYTES, isSha256Length } from './attributes.js'
import { HEADER_BYTES, headerFault, visitAttributes } from './message.js'

/** RFC 8489 §14.7. */
const FINGERPRINT_XOR = 0x5354554e
const ATTRIBUTE_HEADER_BYTES = 4

/** The result of checking an integrity or fingerprint attribute. */
export type Verdict = 'absent' | 'valid' | 'invalid'

/** The short-term key is the password (RFC 8489 §9.1.1). The caller has prepared it with OpaqueString. */
export function shortTermKey(password: string): Buffer {
  return Buffer.from(password, 'utf8')
}

/** The long-term key of MESSAGE-INTEGRITY (RFC 8489 §18.5.1). The caller has prepared the three texts. */
export function longTermKey(
  username: string,
  realm: string,
  password: string,
  hash: 'md5' | 'sha256' = 'md5',
): Buffer {
  return createHash(hash).update(`${username}:${realm}:${password}`, 'utf8').digest()
}

export interface Seals {
  /** The key of MESSAGE-INTEGRITY. */
  readonly key?: Uint8Array
  /** The key of MESSAGE-INTEGRITY-SHA256. */
  readonly sha256Key?: Uint8Array
  readonly fingerprint?: boolean
}

/** Appends integrity and fingerprint attributes to an encoded message, in the order of RFC 8489 §14. */
export function seal(message: Buffer, seals: Seals): Buffer {
  let bytes = message
  if (seals.key !== undefined) {
    bytes = append(bytes, ATTRIBUTE.messageIntegrity, HMAC_SHA1_BYTES, hmacOf('sha1', seals.key))
  }
  if (seals.sha256Key !== undefined) {
    bytes = append(
      bytes,
      ATTRIBUTE.messageIntegritySha256,
      HMAC_SHA256_MAX_BYTES,
      hmacOf('sha256', seals.sha256Key),
    )
  }
  if (seals.fingerprint === true) bytes = append(bytes, ATTRIBUTE.fingerprint, 4, crcBytes)
  return bytes
}

/** Lengthens the message first, because each sum covers a header whose length includes the sum's own attribute. */
function append(
  message: Buffer,
  type: number,
  valueBytes: number,
  sum: (head: Buffer, body: Buffer) => Buffer,
): Buffer {
  const at = message.length
  const bytes = Buffer.alloc(at + ATTRIBUTE_HEADER_BYTES + valueBytes)
  message.copy(bytes)
  bytes.writeUInt16BE(bytes.length - HEADER_BYTES, 2)
  bytes.writeUInt16BE(type, at)
  bytes.writeUInt16BE(valueBytes, at + 2)
  bytes.set(sum(bytes.subarray(0, 4), bytes.subarray(4, at)), at + ATTRIBUTE_HEADER_BYTES)
  return bytes
}

function hmacOf(algorithm: 'sha1' | 'sha256', key: Uint8Array): (head: Buffer, body: Buffer) => Buffer {
  return (head, body) => createHmac(algorithm, key).update(head).update(body).digest()
}

function crcBytes(head: Buffer, body: Buffer): Buffer {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(fingerprint(head, body))
  return value
}

function fingerprint(head: Buffer, body: Buffer): number {
  return (crc32(body, crc32(head)) ^ FINGERPRINT_XOR) >>> 0
}

/** Checks MESSAGE-INTEGRITY (RFC 8489 §14.5) with the key, in constant time. */
export function verifyIntegrity(bytes: Buffer, key: Uint8Array): Verdict {
  return verify(
    bytes,
    ATTRIBUTE.messageIntegrity,
    hmacOf('sha1', key),
    (length) => length === HMAC_SHA1_BYTES,
  )
}

/** Checks MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6), whole or truncated, with the key, in constant time. */
export function verifyIntegritySha256(bytes: Buffer, key: Uint8Array): Verdict {
  return verify(bytes, ATTRIBUTE.messageIntegritySha256, hmacOf('sha256', key), isSha256Length)
}

/** Checks FINGERPRINT (RFC 8489 §14.7). */
export function verifyFingerprint(bytes: Buffer): Verdict {
  return verify(bytes, ATTRIBUTE.fingerprint, crcBytes, (length) => length === 4)
}

function verify(
  bytes: Buffer,
  type: number,
  sum: (head: Buffer, body: Buffer) => Buffer,
  fits: (length: number) => boolean,
): Verdict {
  if (headerFault(bytes) !== undefined) return 'invalid'
  let verdict: Verdict = 'absent'
  const fault = visitAttributes(bytes, (found, value, at) => {
    if (found !== type || verdict !== 'absent') return undefined
    if (!fits(value.length)) {
      verdict = 'invalid'
      return undefined
    }
    const head = Buffer.from(bytes.subarray(0, 4))
    head.writeUInt16BE(at + ATTRIBUTE_HEADER_BYTES + value.length - HEADER_BYTES, 2)
    const expected = sum(head, bytes.subarray(4, at)).subarray(0, value.length)
    verdict = timingSafeEqual(expected, value) ? 'valid' : 'invalid'
    return undefined
  })
  return fault === undefined ? verdict : 'invalid'
}
