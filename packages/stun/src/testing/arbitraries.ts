import * as fc from 'fast-check'
import { type TransportAddress, formatIp } from '../address.js'
import type { Attribute } from '../attributes.js'
import type { Message } from '../message.js'

const known = new Set([1, 6, 8, 9, 10, 0x14, 0x15, 0x1c, 0x20, 0x8022, 0x8023, 0x8028])

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength })

export const addresses: fc.Arbitrary<TransportAddress> = fc
  .tuple(fc.oneof(bytes(4, 4), bytes(16, 16)), fc.integer({ min: 0, max: 65_535 }))
  .map(([ip, port]) => ({
    family: ip.length === 4 ? 'IPv4' : 'IPv6',
    address: formatIp(ip),
    port,
  }))

/** Any string that UTF-8 can carry, short enough for every text attribute. */
const texts = fc.string({ unit: 'binary', maxLength: 120 })

const plainAttributes: fc.Arbitrary<Attribute> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('mapped-address', 'xor-mapped-address', 'alternate-server'),
    address: addresses,
  }),
  fc.record({ kind: fc.constantFrom('username', 'realm', 'nonce', 'software'), text: texts }),
  fc.record({
    kind: fc.constant('error-code'),
    code: fc.integer({ min: 300, max: 699 }),
    reason: texts,
  }),
  fc.record({
    kind: fc.constant('unknown-attributes'),
    types: fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }),
  }),
  fc.record({
    kind: fc.constant('unknown'),
    type: fc.integer({ min: 0, max: 0xffff }).filter((type) => !known.has(type)),
    value: bytes(0, 60),
  }),
)

export const plainMessages: fc.Arbitrary<Message> = fc.record({
  class: fc.constantFrom('request', 'indication', 'success', 'error'),
  method: fc.integer({ min: 0, max: 0xfff }),
  transactionId: bytes(12, 12),
  attributes: fc.array(plainAttributes, { maxLength: 8 }),
})
