// Converts the attributes of RFC 8489 §14 between their value bytes and the members of a union.
import { type TransportAddress, IPV4_BYTES, IPV6_BYTES, formatIp, readIp } from './address.js'

/** The attribute types that this codec knows (RFC 8489 §18.3). */
export const ATTRIBUTE = {
  mappedAddress: 0x0001,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  realm: 0x0014,
  nonce: 0x0015,
  messageIntegritySha256: 0x001c,
  xorMappedAddress: 0x0020,
  software: 0x8022,
  alternateServer: 0x8023,
  fingerprint: 0x8028,
} as const

/** The fixed word that tells STUN from other protocols (RFC 8489 §5). It is also the mask of XOR-MAPPED-ADDRESS. */
export const MAGIC_COOKIE = 0x2112a442

/** A receiver may ignore unknown types from here on, but not the ones below (RFC 8489 §14). */
export const FIRST_OPTIONAL_TYPE = 0x8000

/** RFC 8489 §14.3: fewer than 509 bytes. */
const USERNAME_MAX_BYTES = 508
/** RFC 8489 §14.8 to §14.14: fewer than 128 characters, which may take up to 763 bytes. */
const TEXT_MAX_BYTES = 763
export const HMAC_SHA1_BYTES = 20
/** RFC 8489 §14.6: an HMAC-SHA256 may be truncated to no fewer than 16 bytes, in steps of 4. */
const HMAC_SHA256_MIN_BYTES = 16
export const HMAC_SHA256_MAX_BYTES = 32

type AddressKind = 'mapped-address' | 'xor-mapped-address' | 'alternate-server'
type TextKind = 'username' | 'realm' | 'nonce' | 'software'
type HmacKind = 'message-integrity' | 'message-integrity-sha256'
/** One member of the union for each kind, so that a kind selects its fields. */
type Each<Kind extends string, Fields> = Kind extends string ? { readonly kind: Kind } & Fields : never

export type Attribute =
  | Each<AddressKind, { readonly address: TransportAddress }>
  | Each<TextKind, { readonly text: string }>
  /** `code` is 300 to 699. */
  | { readonly kind: 'error-code'; readonly code: number; readonly reason: string }
  | { readonly kind: 'unknown-attributes'; readonly types: readonly number[] }
  | Each<HmacKind, { readonly hmac: Uint8Array }>
  | { readonly kind: 'fingerprint'; readonly crc: number }
  /** An attribute that this codec does not know, in its raw bytes. */
  | { readonly kind: 'unknown'; readonly type: number; readonly value: Uint8Array }

const TYPE_OF_KIND = {
  'mapped-address': ATTRIBUTE.mappedAddress,
  'xor-mapped-address': ATTRIBUTE.xorMappedAddress,
  'alternate-server': ATTRIBUTE.alternateServer,
  username: ATTRIBUTE.username,
  realm: ATTRIBUTE.realm,
  nonce: ATTRIBUTE.nonce,
  software: ATTRIBUTE.software,
  'error-code': ATTRIBUTE.errorCode,
  'unknown-attributes': ATTRIBUTE.unknownAttributes,
  'message-integrity': ATTRIBUTE.messageIntegrity,
  'message-integrity-sha256': ATTRIBUTE.messageIntegritySha256,
  fingerprint: ATTRIBUTE.fingerprint,
} as const

/** The 16-bit type of an attribute on the wire. */
export function typeOf(attribute: Attribute): number {
  return attribute.kind === 'unknown' ? attribute.type : TYPE_OF_KIND[attribute.kind]
}

/**
 * Decodes one attribute from its type and its value without padding. Undefined if RFC 8489 does not allow the
 * value for that type. `transactionId` is the message's 12 bytes.
 */
export function decodeAttribute(
  type: number,
  value: Buffer,
  transactionId: Uint8Array,
): Attribute | undefined {
  switch (type) {
    case ATTRIBUTE.mappedAddress: // RFC 8489 14.1
      return addressAttribute('mapped-address', decodeAddress(value, undefined))
    case ATTRIBUTE.xorMappedAddress: // RFC 8489 14.2
      return addressAttribute('xor-mapped-address', decodeAddress(value, transactionId))
    case ATTRIBUTE.alternateServer: // RFC 8489 14.15: encoded as MAPPED-ADDRESS
      return addressAttribute('alternate-server', decodeAddress(value, undefined))
    case ATTRIBUTE.username: // RFC 8489 14.3
      return textAttribute('username', value, USERNAME_MAX_BYTES)
    case ATTRIBUTE.realm: // RFC 8489 14.9
      return textAttribute('realm', value, TEXT_MAX_BYTES)
    case ATTRIBUTE.nonce: // RFC 8489 14.10
      return textAttribute('nonce', value, TEXT_MAX_BYTES)
    case ATTRIBUTE.software: // RFC 8489 14.14
      return textAttribute('software', value, TEXT_MAX_BYTES)
    case ATTRIBUTE.errorCode: // RFC 8489 14.8
      return decodeErrorCode(value)
    case ATTRIBUTE.unknownAttributes: // RFC 8489 14.13
      return decodeUnknownAttributes(value)
    case ATTRIBUTE.messageIntegrity: // RFC 8489 14.5
      return value.length === HMAC_SHA1_BYTES ? { kind: 'message-integrity', hmac: value } : undefined
    case ATTRIBUTE.messageIntegritySha256: // RFC 8489 14.6
      return isSha256Length(value.length) ? { kind: 'message-integrity-sha256', hmac: value } : undefined
    case ATTRIBUTE.fingerprint: // RFC 8489 14.7
      return value.length === 4 ? { kind: 'fingerprint', crc: value.readUInt32BE(0) } : undefined
    default:
      return { kind: 'unknown', type, value }
  }
}

/** The value bytes of one attribute, without padding. Throws RangeError for a value that RFC 8489 does not allow. */
export function encodeAttribute(attribute: Attribute, transactionId: Uint8Array): Buffer {
  switch (attribute.kind) {
    case 'mapped-address':
    case 'alternate-server':
      return encodeAddress(attribute.address, undefined)
    case 'xor-mapped-address':
      return encodeAddress(attribute.address, transactionId)
    case 'username':
      return encodeText(attribute.text, USERNAME_MAX_BYTES)
    case 'realm':
    case 'nonce':
    case 'software':
      return encodeText(attribute.text, TEXT_MAX_BYTES)
    case 'error-code':
      return encodeErrorCode(attribute.code, attribute.reason)
    case 'unknown-attributes':
      return encodeUnknownAttributes(attribute.types)
    case 'message-integrity':
      if (attribute.hmac.length !== HMAC_SHA1_BYTES) throw new RangeError('an HMAC-SHA1 must have 20 bytes')
      return Buffer.from(attribute.hmac)
    case 'message-integrity-sha256':
      if (!isSha256Length(attribute.hmac.length))
        throw new RangeError('an HMAC-SHA256 must have 16, 20, 24, 28 or 32 bytes')
      return Buffer.from(attribute.hmac)
    case 'fingerprint': {
      const value = Buffer.alloc(4)
      value.writeUInt32BE(attribute.crc)
      return value
    }
    default: // 'unknown'; a new kind would not have this field
      return Buffer.from(attribute.value)
  }
}

export function isSha256Length(bytes: number): boolean {
  return bytes >= HMAC_SHA256_MIN_BYTES && bytes <= HMAC_SHA256_MAX_BYTES && bytes % 4 === 0
}

// --- addresses: one unused byte, one byte of family, two of port, then the address (RFC 8489 §14.1)

export const FAMILY_IPV4 = 0x01
export const FAMILY_IPV6 = 0x02
const ADDRESS_HEADER_BYTES = 4

function addressAttribute(kind: AddressKind, address: TransportAddress | undefined): Attribute | undefined {
  return address === undefined ? undefined : { kind, address }
}

function decodeAddress(value: Buffer, mask: Uint8Array | undefined): TransportAddress | undefined {
  if (value.length < ADDRESS_HEADER_BYTES) return undefined
  const family = value.readUInt8(1)
  const bytes = Buffer.from(value.subarray(ADDRESS_HEADER_BYTES))
  if (family === FAMILY_IPV4 ? bytes.length !== IPV4_BYTES : bytes.length !== IPV6_BYTES) return undefined
  if (family !== FAMILY_IPV4 && family !== FAMILY_IPV6) return undefined
  let port = value.readUInt16BE(2)
  if (mask !== undefined) {
    port ^= MAGIC_COOKIE >>> 16
    xorAddress(bytes, 0, bytes.length, mask)
  }
  return { family: family === FAMILY_IPV4 ? 'IPv4' : 'IPv6', address: formatIp(bytes), port }
}

function encodeAddress({ address, port }: TransportAddress, mask: Uint8Array | undefined): Buffer {
  const ip = new Uint8Array(IPV6_BYTES)
  const length = readIp(address, ip)
  if (length === 0) throw new RangeError(`not an IP address: ${address}`)
  const value = Buffer.alloc(ADDRESS_HEADER_BYTES + length)
  value.writeUInt8(length === IPV4_BYTES ? FAMILY_IPV4 : FAMILY_IPV6, 1)
  value.writeUInt16BE(mask === undefined ? port : port ^ (MAGIC_COOKIE >>> 16), 2)
  value.set(ip.subarray(0, length), ADDRESS_HEADER_BYTES)
  if (mask !== undefined) xorAddress(value, ADDRESS_HEADER_BYTES, length, mask)
  return value
}

/** XORs the first 4 bytes with the cookie and the rest with the transaction id (RFC 8489 §14.2). */
export function xorAddress(bytes: Uint8Array, at: number, length: number, transactionId: Uint8Array): void {
  for (let i = 0; i < length; i++) {
    const mask = i < 4 ? (MAGIC_COOKIE >>> (24 - 8 * i)) & 0xff : (transactionId[i - 4] ?? 0)
    bytes[at + i] = (bytes[at + i] ?? 0) ^ mask
  }
}

// --- text (UTF-8)

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Undefined when the bytes are not UTF-8. */
function decodeUtf8(value: Uint8Array): string | undefined {
  try {
    return utf8.decode(value)
  } catch (error) {
    // `fatal` makes the decoder throw nothing else.
    if (error instanceof TypeError) return undefined
    throw error
  }
}

function textAttribute(kind: TextKind, value: Buffer, maxBytes: number): Attribute | undefined {
  if (value.length > maxBytes) return undefined
  const text = decodeUtf8(value)
  return text === undefined ? undefined : { kind, text }
}

function encodeText(text: string, maxBytes: number): Buffer {
  const value = Buffer.from(text, 'utf8')
  if (value.length > maxBytes)
    throw new RangeError(`the text has ${value.length} bytes, over the limit of ${maxBytes}`)
  return value
}

// --- errors

function decodeErrorCode(value: Buffer): Attribute | undefined {
  if (value.length < 4 || value.length > 4 + TEXT_MAX_BYTES) return undefined
  const hundreds = value.readUInt8(2) & 0x07
  const rest = value.readUInt8(3)
  if (hundreds < 3 || hundreds > 6 || rest > 99) return undefined
  const reason = decodeUtf8(value.subarray(4))
  return reason === undefined ? undefined : { kind: 'error-code', code: hundreds * 100 + rest, reason }
}

function encodeErrorCode(code: number, reason: string): Buffer {
  if (!Number.isInteger(code) || code < 300 || code > 699)
    throw new RangeError(`an error code must be from 300 to 699, not ${code}`)
  const text = encodeText(reason, TEXT_MAX_BYTES)
  const value = Buffer.alloc(4 + text.length)
  value.writeUInt8(Math.trunc(code / 100), 2)
  value.writeUInt8(code % 100, 3)
  value.set(text, 4)
  return value
}

function decodeUnknownAttributes(value: Buffer): Attribute | undefined {
  if (value.length % 2 !== 0) return undefined
  const types: number[] = []
  for (let at = 0; at < value.length; at += 2) types.push(value.readUInt16BE(at))
  return { kind: 'unknown-attributes', types }
}

function encodeUnknownAttributes(types: readonly number[]): Buffer {
  const value = Buffer.alloc(2 * types.length)
  types.forEach((type, index) => value.writeUInt16BE(type, 2 * index))
  return value
}
