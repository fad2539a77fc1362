// Decodes and encodes STUN messages (RFC 8489 §5 and §14). Decoding returns for any bytes and never throws.
import {
  type Attribute,
  ATTRIBUTE,
  MAGIC_COOKIE,
  decodeAttribute,
  encodeAttribute,
  typeOf,
} from './attributes.js'

/** Type, length, cookie and transaction id (RFC 8489 §5). */
export const HEADER_BYTES = 20
export const TRANSACTION_ID_BYTES = 12
const ATTRIBUTE_HEADER_BYTES = 4

/** The only method of the base protocol (RFC 8489 §3). */
export const BINDING = 0x001
/** Method 0x001 with the class bits of a request and of a success (RFC 8489 §5). */
export const BINDING_REQUEST = 0x0001
export const BINDING_SUCCESS = 0x0101

export type MessageClass = 'request' | 'indication' | 'success' | 'error'
/** Indexed by the two class bits C1 and C0 (RFC 8489 §5). */
const CLASSES = ['request', 'indication', 'success', 'error'] as const

export interface Message {
  readonly class: MessageClass
  /** 12 bits. */
  readonly method: number
  /** 12 bytes. */
  readonly transactionId: Uint8Array
  /** In the order of the message, without the attributes that an integrity attribute does not cover [STUN15]. */
  readonly attributes: readonly Attribute[]
}

/** Why bytes are not a STUN message. */
export type Malformed =
  | 'too-short' // less than a header
  | 'not-stun' // the top two bits are not 00 (RFC 8489 §5)
  | 'no-cookie' // another protocol, or classic STUN (RFC 3489)
  | 'bad-length' // the length is not a multiple of 4, or not the length of what follows the header
  | 'bad-attribute' // an attribute overruns the message, or its value does not fit its type
  | 'after-fingerprint' // FINGERPRINT is not the last attribute (RFC 8489 §14.7)

export type Decoded =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly reason: Malformed }

/** Checks the 20 bytes of the header against RFC 8489 §5. Undefined if they are right. */
export function headerFault(bytes: Buffer): Malformed | undefined {
  if (bytes.length < HEADER_BYTES) return 'too-short'
  if (bytes.readUInt8(0) > 0x3f) return 'not-stun'
  if (bytes.readUInt32BE(4) !== MAGIC_COOKIE) return 'no-cookie'
  const length = bytes.readUInt16BE(2)
  return length % 4 !== 0 || length !== bytes.length - HEADER_BYTES ? 'bad-length' : undefined
}

/**
 * Decodes one whole message, from a datagram or a frame. Values of the result are views of `bytes`, which the
 * caller must leave unchanged. Integrity and fingerprint are decoded but not verified: integrity.ts does that.
 */
export function decode(bytes: Buffer): Decoded {
  const fault = headerFault(bytes)
  if (fault !== undefined) return { ok: false, reason: fault }
  const type = bytes.readUInt16BE(0)
  const transactionId = bytes.subarray(8, HEADER_BYTES)
  const attributes: Attribute[] = []
  const stopped = visitAttributes(bytes, (attributeType, value) => {
    const attribute = decodeAttribute(attributeType, value, transactionId)
    if (attribute === undefined) return 'bad-attribute'
    attributes.push(attribute)
    return undefined
  })
  if (stopped !== undefined) return { ok: false, reason: stopped }
  const classBits = ((type >> 7) & 0b10) | ((type >> 4) & 0b01)
  const method = (type & 0x000f) | ((type >> 1) & 0x0070) | ((type >> 2) & 0x0f80)
  return {
    ok: true,
    message: { class: CLASSES[classBits] ?? 'request', method, transactionId, attributes },
  }
}

/**
 * Calls `visit` for each attribute of a message with a valid header: its type, its value without padding, and where
 * it begins. Skips an attribute that follows an integrity attribute and is not covered by it, as RFC 8489 §14.5 and
 * §14.6 say. Stops when `visit` returns a fault, and returns that fault.
 */
export function visitAttributes(
  bytes: Buffer,
  visit: (type: number, value: Buffer, at: number) => Malformed | undefined,
): Malformed | undefined {
  let sealed: number | undefined
  let at = HEADER_BYTES
  while (at < bytes.length) {
    if (sealed === ATTRIBUTE.fingerprint) return 'after-fingerprint'
    // The message's length is a multiple of 4, so an attribute's own header is always whole.
    const type = bytes.readUInt16BE(at)
    const start = at + ATTRIBUTE_HEADER_BYTES
    const end = start + bytes.readUInt16BE(at + 2)
    if (end > bytes.length) return 'bad-attribute'
    if (isTrusted(type, sealed)) {
      const stop = visit(type, bytes.subarray(start, end), at)
      if (stop !== undefined) return stop
      if (isSeal(type)) sealed = type
    }
    // RFC 8489 §14: an attribute is padded to a multiple of 4, with any bytes.
    at = end + (-end & 3)
  }
  return undefined
}

function isSeal(type: number): boolean {
  return (
    type === ATTRIBUTE.messageIntegrity ||
    type === ATTRIBUTE.messageIntegritySha256 ||
    type === ATTRIBUTE.fingerprint
  )
}

function isTrusted(type: number, sealed: number | undefined): boolean {
  if (sealed === undefined || type === ATTRIBUTE.fingerprint) return true
  return sealed === ATTRIBUTE.messageIntegrity && type === ATTRIBUTE.messageIntegritySha256
}

/**
 * Encodes a message. Throws RangeError for a message that RFC 8489 does not allow, because that is a mistake of the
 * caller: a wrong transaction id, a text that is too long, more than 65,532 bytes of attributes.
 */
export function encode(message: Message): Buffer {
  if (message.transactionId.length !== TRANSACTION_ID_BYTES)
    throw new RangeError('a transaction id must have 12 bytes')
  if (message.method < 0 || message.method > 0xfff)
    throw new RangeError('a method must be a number from 0 to 4095')
  const values = message.attributes.map((attribute) => encodeAttribute(attribute, message.transactionId))
  const length = values.reduce((sum, value) => sum + ATTRIBUTE_HEADER_BYTES + padded(value.length), 0)
  if (length > 0xfffc) throw new RangeError(`the attributes have ${length} bytes, over 65532`)
  const bytes = Buffer.alloc(HEADER_BYTES + length)
  bytes.writeUInt16BE(messageType(message.class, message.method), 0)
  bytes.writeUInt16BE(length, 2)
  bytes.writeUInt32BE(MAGIC_COOKIE, 4)
  bytes.set(message.transactionId, 8)
  let at = HEADER_BYTES
  message.attributes.forEach((attribute, index) => {
    const value = values[index] ?? Buffer.alloc(0)
    bytes.writeUInt16BE(typeOf(attribute), at)
    bytes.writeUInt16BE(value.length, at + 2)
    bytes.set(value, at + ATTRIBUTE_HEADER_BYTES)
    at += ATTRIBUTE_HEADER_BYTES + padded(value.length)
  })
  return bytes
}

/** The class bits lie between the method's bits, at 0x100 and 0x010 (RFC 8489 §5). */
function messageType(messageClass: MessageClass, method: number): number {
  const classBits = CLASSES.indexOf(messageClass)
  return (
    (method & 0x000f) |
    ((method & 0x0070) << 1) |
    ((method & 0x0f80) << 2) |
    ((classBits & 0b10) << 7) |
    ((classBits & 0b01) << 4)
  )
}

function padded(bytes: number): number {
  return (bytes + 3) & ~3
}

/** The first attribute of a kind. RFC 8489 §14 lets a receiver ignore the later ones. */
export function find<K extends Attribute['kind']>(
  message: Message,
  kind: K,
): Extract<Attribute, { readonly kind: K }> | undefined {
  return message.attributes.find((attribute): attribute is Extract<Attribute, { readonly kind: K }> => {
    return attribute.kind === kind
  })
}
