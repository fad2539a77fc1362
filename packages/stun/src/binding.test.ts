/// <reference types="node" />
import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readSource } from './address.js'
import type { Attribute } from './attributes.js'
import { REQUEST_MAX_BYTES, answer, refusal } from './binding.js'
import { seal, verifyFingerprint } from './integrity.js'
import { type Message, decode, encode, find } from './message.js'
import { addresses, plainMessages } from './testing/arbitraries.js'
import { bindingRequest } from './testing/loopback.js'

const IPV4 = { address: '203.0.113.9', port: 40_000 }
const IPV6 = { address: '2001:db8::9', port: 40_000 }

/** The answer that the server would send, or the reason for its silence. */
function reply(request: Buffer, { address, port } = IPV4): Buffer | string {
  const ip = new Uint8Array(16)
  const length = readSource(address, ip)
  return refusal(request) ?? answer(request, ip, length, port)
}

function replied(request: Buffer, source = IPV4): { bytes: Buffer; message: Message } {
  const bytes = reply(request, source)
  if (typeof bytes === 'string') throw new Error(bytes)
  const decoded = decode(bytes)
  if (!decoded.ok) throw new Error(decoded.reason)
  return { bytes, message: decoded.message }
}

const unknown = (type: number, bytes = 0): Attribute => ({
  kind: 'unknown',
  type,
  value: Buffer.alloc(bytes),
})

describe('the answer to a Binding request', () => {
  it.each([
    ['IPv4', IPV4, false, 32],
    ['IPv6', IPV6, false, 44],
    ['IPv4 with fingerprint', IPV4, true, 40],
    ['IPv6 with fingerprint', IPV6, true, 52],
  ])('[STUN30] %s', (_, source, fingerprint, bytes) => {
    const request = seal(bindingRequest(), { fingerprint })
    const { bytes: answered, message } = replied(request, source)
    expect(answered.length).toBe(bytes)
    expect(message.class).toBe('success')
    expect(Buffer.from(message.transactionId).equals(request.subarray(8, 20))).toBe(true)
    expect(find(message, 'xor-mapped-address')?.address).toMatchObject(source)
    expect(message.attributes.map(({ kind }) => kind)).toEqual(
      fingerprint ? ['xor-mapped-address', 'fingerprint'] : ['xor-mapped-address'],
    )
    expect(verifyFingerprint(answered)).toBe(fingerprint ? 'valid' : 'absent')
  })

  it('[STUN30] any source gets its own address', () => {
    fc.assert(
      fc.property(addresses, fc.uint8Array({ minLength: 12, maxLength: 12 }), (source, id) => {
        const { message } = replied(bindingRequest([], Buffer.from(id)), source)
        const mapped = source.address.startsWith('::ffff:') ? source.address.slice(7) : source.address
        expect(find(message, 'xor-mapped-address')?.address).toEqual({
          family: mapped.includes(':') ? 'IPv6' : 'IPv4',
          address: mapped,
          port: source.port,
        })
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('silence', () => {
  const typed = (type: number): Buffer => {
    const bytes = bindingRequest()
    bytes.writeUInt16BE(type, 0)
    return bytes
  }
  const classic = Buffer.concat([Buffer.from('00010000', 'hex'), randomBytes(16)])
  const badFingerprint = seal(bindingRequest(), { fingerprint: true })
  badFingerprint[27] = (badFingerprint[27] ?? 0) ^ 1

  it.each([
    ['nothing at all', Buffer.alloc(0), 'malformed'],
    ['text', Buffer.from('GET / HTTP/1.1\r\nHost: example.org\r\n\r\n'), 'malformed'],
    ['classic STUN (RFC 3489)', classic, 'no-cookie'],
    ['DTLS', Buffer.from('16fefd0000000000000000005b01', 'hex'), 'malformed'],
    ['RTP', Buffer.from('8060000100000001deadbeef00000000cafe0000', 'hex'), 'malformed'],
    ['an indication', typed(0x0011), 'not-binding-request'],
    ['a success', typed(0x0101), 'not-binding-request'],
    ['an error', typed(0x0111), 'not-binding-request'],
    ['a shared secret request', typed(0x0002), 'not-binding-request'],
    ['an Allocate request', typed(0x0003), 'not-binding-request'],
    ['a spoofed length', Buffer.concat([bindingRequest(), Buffer.alloc(4)]), 'malformed'],
    ['a truncated attribute', bindingRequest([unknown(0x7fff, 8)]).subarray(0, 28), 'malformed'],
    ['a malformed attribute', bindingRequest([unknown(0x0020, 1)]), 'malformed'],
    ['a wrong fingerprint', badFingerprint, 'bad-fingerprint'],
    ['1284 bytes', bindingRequest([unknown(0x8fff, 1260)]), 'oversized'],
  ])('[STUN31] to %s', (_, bytes, reason) => {
    expect(reply(bytes)).toBe(reason)
  })

  it('[STUN31] 1280 bytes are answered', () => {
    const request = bindingRequest([unknown(0x8fff, 1256)])
    expect(request.length).toBe(REQUEST_MAX_BYTES)
    expect(replied(request).message.class).toBe('success')
  })

  it('[STUN36] the server does not answer its own answers', () => {
    for (const request of [bindingRequest(), bindingRequest([unknown(0x7fff)])]) {
      const { bytes } = replied(request)
      expect(reply(bytes)).toBe('not-binding-request')
    }
  })
})

describe('unknown attributes', () => {
  it.each([
    ['CHANGE-REQUEST', 0x0003],
    ['RESPONSE-PORT', 0x0027],
    ['PADDING', 0x0026],
    ['RESPONSE-ADDRESS', 0x0002],
    ['PRIORITY', 0x0024],
    ['an unassigned type', 0x7fff],
  ])('[STUN32] [STUN33] %s is answered with error 420', (_, type) => {
    const { message, bytes } = replied(bindingRequest([unknown(type, 4)]))
    expect(message.class).toBe('error')
    expect(message.attributes).toEqual([
      { kind: 'error-code', code: 420, reason: '' },
      { kind: 'unknown-attributes', types: [type] },
    ])
    expect(bytes.length).toBe(36)
  })

  it('[STUN32] the error lists each type once, in the order of the request', () => {
    const types = [0x7002, 0x7001, 0x7002, 0x8fff, 0x7001]
    const { message } = replied(bindingRequest(types.map((type) => unknown(type))))
    expect(find(message, 'unknown-attributes')?.types).toEqual([0x7002, 0x7001])
  })

  it('[STUN32] the error has a fingerprint if the request had one', () => {
    const { bytes } = replied(seal(bindingRequest([unknown(0x7fff)]), { fingerprint: true }))
    expect(verifyFingerprint(bytes)).toBe('valid')
  })

  it('[STUN34] unknown attributes from 0x8000 on and known attributes are ignored', () => {
    const { message, bytes } = replied(
      bindingRequest([
        unknown(0x8fff, 9),
        { kind: 'software', text: 'a' },
        { kind: 'username', text: 'b' },
        { kind: 'message-integrity', hmac: Buffer.alloc(20) },
        unknown(0x7fff, 4),
      ]),
    )
    expect(message.class).toBe('success')
    expect(bytes.length).toBe(32)
  })

  it('[STUN2] [STUN32] no answer is over 2.2 times its request, or 1.6 times over IPv4, and nothing is thrown', () => {
    const requests = plainMessages.map((message) => encode({ ...message, class: 'request', method: 1 }))
    fc.assert(
      fc.property(requests, fc.boolean(), (plain, fingerprint) => {
        const request = seal(plain, { fingerprint })
        for (const source of [IPV4, IPV6]) {
          const bytes = reply(request, source)
          if (typeof bytes === 'string') continue
          expect(bytes.length / request.length).toBeLessThanOrEqual(source === IPV4 ? 1.6 : 2.2)
          if (decode(bytes).ok && bytes.readUInt16BE(0) === 0x0111) {
            expect(bytes.length / request.length).toBeLessThanOrEqual(1.6)
          }
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
