import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Attribute } from './attributes.js'
import { type Message, decode, encode, find } from './message.js'
import { plainMessages } from './testing/arbitraries.js'

const ID = 'b7e7a701bc34d686fa87dfae'
const COOKIE = '2112a442'

/** A Binding request with these attribute bytes and the right length, unless the test gives another. */
function request(attributes: string, length = attributes.length / 2): Buffer {
  return Buffer.from(`0001${length.toString(16).padStart(4, '0')}${COOKIE}${ID}${attributes}`, 'hex')
}

function reasonOf(bytes: Buffer): string {
  const decoded = decode(bytes)
  return decoded.ok ? 'ok' : decoded.reason
}

function attributesOf(bytes: Buffer): readonly Attribute[] {
  const decoded = decode(bytes)
  if (!decoded.ok) throw new Error(decoded.reason)
  return decoded.message.attributes
}

function attribute(type: number, value: Buffer): string {
  const head = Buffer.alloc(4)
  head.writeUInt16BE(type, 0)
  head.writeUInt16BE(value.length, 2)
  return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)]).toString('hex')
}

/** The message with all bytes in hexadecimal, so that a Buffer and a Uint8Array of the same bytes compare equal. */
function plain(message: Message): unknown {
  return JSON.parse(
    JSON.stringify(message, (_, value: unknown) => {
      if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
      const isJsonBuffer = typeof value === 'object' && value !== null && 'type' in value && 'data' in value
      return isJsonBuffer && Array.isArray(value.data) ? Buffer.from(value.data).toString('hex') : value
    }),
  )
}

describe('the header', () => {
  it('[STUN1] a bare Binding request is a message', () => {
    expect(decode(request(''))).toEqual({
      ok: true,
      message: { class: 'request', method: 1, transactionId: Buffer.from(ID, 'hex'), attributes: [] },
    })
  })

  it.each([
    ['nothing', Buffer.alloc(0), 'too-short'],
    ['19 bytes', request('').subarray(0, 19), 'too-short'],
    ['a top bit', Buffer.concat([Buffer.from([0x80]), request('').subarray(1)]), 'not-stun'],
    ['the other top bit', Buffer.concat([Buffer.from([0x40]), request('').subarray(1)]), 'not-stun'],
    ['no cookie', Buffer.concat([request('').subarray(0, 4), Buffer.alloc(16)]), 'no-cookie'],
    ['a length over what follows', request('', 4), 'bad-length'],
    ['a length under what follows', request('80220000', 0), 'bad-length'],
    ['a length that is not a multiple of 4', request('8022', 2), 'bad-length'],
    ['the greatest length', request('', 0xfffc), 'bad-length'],
  ])('[STUN1] %s is refused', (_, bytes, reason) => {
    expect(reasonOf(bytes)).toBe(reason)
  })

  it.each([
    [0x0001, 'request', 1],
    [0x0011, 'indication', 1],
    [0x0101, 'success', 1],
    [0x0111, 'error', 1],
    [0x0003, 'request', 3],
    [0x3eef, 'request', 0xfff],
    [0x3fff, 'error', 0xfff],
    [0x0080 << 1, 'success', 0],
    [0x0200, 'request', 0x080],
    [0x0020, 'request', 0x010],
  ])('[STUN3] type %i is a %s of method %i', (type, messageClass, method) => {
    const bytes = request('')
    bytes.writeUInt16BE(type, 0)
    expect(decode(bytes)).toMatchObject({ ok: true, message: { class: messageClass, method } })
  })
})

describe('attributes', () => {
  it('[STUN4] a value that overruns the message is refused, also when it overruns by less than the padding', () => {
    expect(reasonOf(request('8fff0004'))).toBe('bad-attribute')
    expect(reasonOf(request('8fff000500000000'))).toBe('bad-attribute')
    expect(reasonOf(request('8fffffff00000000'))).toBe('bad-attribute')
    expect(reasonOf(request('8fff000300000000'))).toBe('ok')
  })

  it('[STUN4] padding is written as zeros, and any padding is accepted', () => {
    const message: Message = {
      class: 'request',
      method: 1,
      transactionId: Buffer.from(ID, 'hex'),
      attributes: [{ kind: 'software', text: 'a' }],
    }
    expect(encode(message).toString('hex').slice(40)).toBe('8022000161000000')
    expect(attributesOf(request('8022000161202020'))).toEqual([{ kind: 'software', text: 'a' }])
  })

  it('[STUN10] XOR-MAPPED-ADDRESS of both families, by hand', () => {
    const ipv4 = attributesOf(request('002000080001a147e112a643'))
    expect(ipv4).toEqual([
      { kind: 'xor-mapped-address', address: { family: 'IPv4', address: '192.0.2.1', port: 32_853 } },
    ])
    const ipv6 = attributesOf(request('002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9'))
    expect(ipv6).toEqual([
      {
        kind: 'xor-mapped-address',
        address: { family: 'IPv6', address: '2001:db8:1234:5678:11:2233:4455:6677', port: 32_853 },
      },
    ])
    expect(attributesOf(request('000100080001 8055 c0000201'.replaceAll(' ', '')))).toEqual([
      { kind: 'mapped-address', address: { family: 'IPv4', address: '192.0.2.1', port: 32_853 } },
    ])
  })

  it.each([
    ['[STUN10] IPv4 with 16 bytes', 0x0020, Buffer.from([0, 1, ...Buffer.alloc(18)])],
    ['[STUN10] IPv6 with 4 bytes', 0x0020, Buffer.from([0, 2, 0, 0, 1, 2, 3, 4])],
    ['[STUN10] family 3', 0x0001, Buffer.from([0, 3, ...Buffer.alloc(18)])],
    ['[STUN10] no address', 0x8023, Buffer.from([0, 1, 0])],
    ['[STUN12] a user name of 509 bytes', 0x0006, Buffer.alloc(509, 'a')],
    ['[STUN12] a user name that is not UTF-8', 0x0006, Buffer.from([0xff])],
    ['[STUN12] a surrogate in a realm', 0x0014, Buffer.from([0xed, 0xa0, 0x80])],
    ['[STUN12] a nonce of 764 bytes', 0x0015, Buffer.alloc(764, 'a')],
    ['[STUN12] software of 764 bytes', 0x8022, Buffer.alloc(764, 'a')],
    ['[STUN13] an error code of 2 bytes', 0x0009, Buffer.from([4, 0])],
    ['[STUN13] error 200', 0x0009, Buffer.from([0, 0, 2, 0])],
    ['[STUN13] error 700', 0x0009, Buffer.from([0, 0, 7, 0])],
    ['[STUN13] error 4 and 100', 0x0009, Buffer.from([0, 0, 4, 100])],
    ['[STUN13] a reason that is not UTF-8', 0x0009, Buffer.from([0, 0, 4, 0, 0xc0, 0x80])],
    [
      '[STUN13] a reason of 764 bytes',
      0x0009,
      Buffer.concat([Buffer.from([0, 0, 4, 0]), Buffer.alloc(764, 'a')]),
    ],
    ['[STUN14] one and a half types', 0x000a, Buffer.from([0, 1, 2])],
    ['[STUN21] an HMAC-SHA1 of 16 bytes', 0x0008, Buffer.alloc(16)],
    ['[STUN21] an HMAC-SHA256 of 12 bytes', 0x001c, Buffer.alloc(12)],
    ['[STUN21] an HMAC-SHA256 of 36 bytes', 0x001c, Buffer.alloc(36)],
    ['[STUN21] an HMAC-SHA256 of 17 bytes', 0x001c, Buffer.alloc(17)],
    ['[STUN22] a fingerprint of 8 bytes', 0x8028, Buffer.alloc(8)],
  ])('%s is refused', (_, type, value) => {
    expect(reasonOf(request(attribute(type, value)))).toBe('bad-attribute')
  })

  it.each([
    ['[STUN12] a user name of 508 bytes', 0x0006, Buffer.alloc(508, 'a')],
    ['[STUN12] a realm of 763 bytes', 0x0014, Buffer.alloc(763, 'a')],
    ['[STUN13] error 699', 0x0009, Buffer.from([0, 0, 6, 99])],
    ['[STUN14] no types', 0x000a, Buffer.alloc(0)],
    ['[STUN17] an unknown type with an empty value', 0x7fff, Buffer.alloc(0)],
  ])('%s is accepted', (_, type, value) => {
    expect(reasonOf(request(attribute(type, value)))).toBe('ok')
  })

  it('[STUN15] attributes after an integrity attribute are ignored, except the ones that may follow it', () => {
    const software = attribute(0x8022, Buffer.from('a'))
    const integrity = attribute(0x0008, Buffer.alloc(20))
    const sha256 = attribute(0x001c, Buffer.alloc(32))
    const fingerprint = attribute(0x8028, Buffer.alloc(4))
    const unknown = attribute(0x7fff, Buffer.alloc(4))
    const kinds = (hex: string): string[] => attributesOf(request(hex)).map(({ kind }) => kind)
    expect(kinds(software + integrity + unknown + sha256 + software + fingerprint)).toEqual([
      'software',
      'message-integrity',
      'message-integrity-sha256',
      'fingerprint',
    ])
    expect(kinds(sha256 + integrity + unknown)).toEqual(['message-integrity-sha256'])
    expect(kinds(integrity + integrity)).toEqual(['message-integrity'])
    expect(reasonOf(request(integrity + '7fffffff'))).toBe('bad-attribute')
    expect(reasonOf(request(fingerprint + software))).toBe('after-fingerprint')
    expect(reasonOf(request(fingerprint + fingerprint))).toBe('after-fingerprint')
  })

  it('[STUN16] the first of a kind counts', () => {
    const decoded = decode(request(attribute(0x8022, Buffer.from('a')) + attribute(0x8022, Buffer.from('b'))))
    expect(decoded.ok && find(decoded.message, 'software')).toEqual({ kind: 'software', text: 'a' })
    expect(decoded.ok && find(decoded.message, 'nonce')).toBeUndefined()
  })

  it('[STUN17] an unknown type keeps its bytes', () => {
    const [found] = attributesOf(request(attribute(0x0024, Buffer.from([1, 2, 3]))))
    expect(found).toEqual({ kind: 'unknown', type: 0x0024, value: Buffer.from([1, 2, 3]) })
  })
})

describe('round trips', () => {
  it('[STUN5] an encoded message decodes to the same message', () => {
    fc.assert(
      fc.property(plainMessages, (message) => {
        const bytes = encode(message)
        const decoded = decode(bytes)
        expect(decoded.ok).toBe(true)
        if (decoded.ok) expect(plain(decoded.message)).toEqual(plain(message))
        if (decoded.ok) expect(encode(decoded.message).equals(bytes)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  it.each<[string, Partial<Message>]>([
    ['a transaction id of 16 bytes', { transactionId: Buffer.alloc(16) }],
    ['a method of 13 bits', { method: 0x1000 }],
    ['an error code of 299', { attributes: [{ kind: 'error-code', code: 299, reason: '' }] }],
    ['a user name of 509 bytes', { attributes: [{ kind: 'username', text: 'a'.repeat(509) }] }],
    [
      'no IP address',
      {
        attributes: [{ kind: 'mapped-address', address: { family: 'IPv4', address: 'localhost', port: 1 } }],
      },
    ],
    ['65,536 bytes', { attributes: [{ kind: 'unknown', type: 0x8fff, value: Buffer.alloc(65_532) }] }],
    ['half an HMAC', { attributes: [{ kind: 'message-integrity', hmac: Buffer.alloc(10) }] }],
    ['half an HMAC-SHA256', { attributes: [{ kind: 'message-integrity-sha256', hmac: Buffer.alloc(10) }] }],
  ])('[STUN5] encoding %s throws a RangeError', (_, part) => {
    const message: Message = { class: 'request', method: 1, transactionId: Buffer.alloc(12), attributes: [] }
    expect(() => encode({ ...message, ...part })).toThrow(RangeError)
  })
})
