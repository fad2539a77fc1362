import {
  appOf,
  errorTexts,
  nameOf,
  parseConnectionId,
  parseNodeId,
  parsePeer,
  parseRoomId,
} from '@peerage/protocol'
import type { ErrorCode } from '@peerage/protocol'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeEnvelope, decodeEnvelopes, decodeMessage } from './decode.js'
import { encodeEnvelope, encodeMessage } from './encode.js'
import type { Envelope, Message } from './message.js'

function must<T>(parsed: { ok: true; value: T } | { ok: false; problem: string }): T {
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const peer = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9-]{1,32}$/),
    fc.oneof(
      fc.stringMatching(/^[\x20-\x7e]{1,128}$/),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    ),
  )
  .map(([app, name]) => parsePeer(`${app}/${name}`))
  .filter((parsed) => parsed.ok)
  .map(must)
const node = fc
  .string({ unit: fc.constantFrom(...base64url.split('')), minLength: 8, maxLength: 8 })
  .map((id) => must(parseNodeId(id)))
const connection = fc.stringMatching(/^[a-z0-9]{1,12}$/).map((id) => must(parseConnectionId(id)))
const natural = fc.maxSafeNat()
const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('\x1f', '\x1b', 'd', 'e', '=', ':') }))
const code = fc.constantFrom(...Object.keys(errorTexts)).map((key) => key as ErrorCode)
const message: fc.Arbitrary<Message> = fc.record(
  {
    from: peer,
    to: peer,
    wire: fc.constantFrom('native', 'peerjs', 'y-webrtc', 'webtorrent', 'trystero', 'matchbox'),
    kind: fc.constantFrom('message', 'signal', 'ack'),
    frame: fc.string({ unit: 'binary' }),
    since: natural,
    fresh: fc.constant(true),
    hold: fc.constant(true),
    handshake: text,
    reply: fc.record({ node, connection, ref: text }),
  },
  { requiredKeys: ['from', 'to', 'wire', 'kind', 'frame'] },
)
/** A room, of the native wire or another. */
const pool = fc
  .tuple(peer, fc.option(fc.stringMatching(/^[a-z-]{1,16}$/)))
  .map(([room, wire]) => parseRoomId(wire === null ? room : room.replace('/', `:${wire}/`)))
  .map(must)
const member = fc.stringMatching(/^[\x21-\x7e]{1,128}$/)
const hops = fc.nat({ max: 255 })
const envelope: fc.Arbitrary<Envelope> = fc.oneof(
  fc.record({ type: fc.constant('deliver' as const), epoch: natural, hops, message }),
  fc.record({ type: fc.constant('gone' as const), epoch: natural, hops, message }),
  fc.record({ type: fc.constant('notice' as const), connection, to: peer, ref: text, code }),
  fc.record({
    type: fc.constantFrom('superseded' as const, 'evicted' as const),
    peer,
    connection,
    epoch: natural,
  }),
  fc.record(
    {
      type: fc.constant('disconnect' as const),
      app: peer.map(appOf),
      whom: fc.oneof(
        fc.record({ name: peer.map(nameOf) }),
        fc.record({ identity: text }),
        fc.record({ tokenId: text }),
      ),
      before: natural,
      code: fc.integer({ min: 4_000, max: 4_999 }),
      text,
    },
    { requiredKeys: ['type', 'app', 'whom', 'code', 'text'] },
  ),
  fc.record({
    type: fc.constant('hand' as const),
    connection,
    pool,
    member,
    frame: fc.string({ unit: 'binary' }),
  }),
  fc.record({ type: fc.constant('moved' as const), connection, pool, member, since: natural }),
)

function plain<T>(value: T): T {
  return structuredClone(value)
}

const origin = fc.record({ node, number: fc.maxSafeNat().map((number) => number % 2 ** 48) })

test('a decoded envelope equals the encoded one', () => {
  fc.assert(
    fc.property(envelope, (sent) => {
      expect(decodeEnvelope(encodeEnvelope(sent))).toEqual(plain(sent))
    }),
    { numRuns: 2_000 },
  )
})

test('a decoded mailbox message equals the encoded one', () => {
  fc.assert(
    fc.property(message, (sent) => {
      expect(decodeMessage(encodeMessage(sent))).toEqual(plain(sent))
    }),
  )
})

test('envelopes laid end to end are decoded in order', () => {
  fc.assert(
    fc.property(fc.array(envelope, { minLength: 1, maxLength: 6 }), (sent) => {
      const received: Envelope[] = []
      const malformed = decodeEnvelopes(sent.map((one) => encodeEnvelope(one)).join(''), (one) =>
        received.push(one),
      )
      expect(malformed).toBe(0)
      expect(received).toEqual(plain(sent))
    }),
  )
})

test('[REC1] the frame is sent byte for byte, neither escaped nor parsed', () => {
  fc.assert(
    fc.property(message, (sent) => {
      expect(encodeMessage(sent).endsWith(sent.frame)).toBe(true)
    }),
  )
})

test('[REC3] [F23] any other input is decoded to undefined and never throws', () => {
  fc.assert(
    fc.property(fc.anything(), (input) => {
      expect(decodeEnvelope(input)).toBeUndefined()
      expect(decodeMessage(input)).toBeUndefined()
      expect(decodeEnvelopes(input, () => expect.unreachable())).toBe(1)
    }),
  )
})

test('[F23] a record changed in one place becomes another envelope or none, and never throws', () => {
  fc.assert(
    fc.property(envelope, fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }), (sent, at, change) => {
      const record = encodeEnvelope(sent)
      const place = at % record.length
      let count = 0
      const malformed = decodeEnvelopes(
        record.slice(0, place) + change + record.slice(place + 1),
        () => count++,
      )
      expect(malformed + count).toBeGreaterThan(0)
    }),
    { numRuns: 2_000 },
  )
})

test('[REC3] [F23] a record cut short is malformed, and the records before it arrive', () => {
  fc.assert(
    fc.property(envelope, envelope, fc.nat(), (whole, cut, at) => {
      const second = encodeEnvelope(cut)
      const received: Envelope[] = []
      const payload = encodeEnvelope(whole) + second.slice(0, 1 + (at % (second.length - 1)))
      expect(decodeEnvelopes(payload, (one) => received.push(one))).toBe(1)
      expect(received).toEqual([plain(whole)])
    }),
  )
})

test('[REC2] [F25] fields that a later version adds to a header are skipped', () => {
  fc.assert(
    fc.property(envelope, fc.option(origin, { nil: undefined }), text, (sent, from, added) => {
      const record = encodeEnvelope(sent, from)
      const lengths = /^(.)(\d+):(\d+):/u.exec(record)
      if (!lengths) return expect.unreachable()
      const [start, type, headerLength, frameLength] = lengths
      const end = start.length + Number(headerLength)
      // The added fields come after the two fields of the origin, which are empty where there is none.
      const more = `${from === undefined ? '\x1f\x1f' : ''}\x1f${added}`
      const later =
        `${type}${Number(headerLength) + more.length}:${frameLength}:` +
        record.slice(start.length, end) +
        more +
        record.slice(end)
      const read: unknown[] = []
      expect(decodeEnvelopes(later, (...one) => read.push(one))).toBe(0)
      expect(read).toEqual([[plain(sent), from, 0]])
    }),
  )
})

test('[REC4] an origin is decoded with its envelope, and a record without one has none', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(envelope, fc.option(origin, { nil: undefined }))), (sent) => {
      const read: unknown[] = []
      const payload = sent.map(([one, from]) => encodeEnvelope(one, from)).join('')
      if (payload !== '') expect(decodeEnvelopes(payload, (...one) => read.push(one))).toBe(0)
      expect(read).toEqual(sent.map(([one, from], place) => [plain(one), from, place]))
    }),
  )
})

test.each([
  ['a node outside the grammar', 's21:0:a/b\x1fc1\x1f12\x1fAAAA!AAA\x1f12'],
  ['a number with letters', 's20:0:a/b\x1fc1\x1f12\x1fAAAAAAAA\x1fx'],
  ['a number over six bytes', 's33:0:a/b\x1fc1\x1f12\x1fAAAAAAAA\x1f281474976710656'],
  ['a number without a node', 's12:0:a/b\x1fc1\x1f12\x1f\x1f7'],
  ['a node without a number', 's19:0:a/b\x1fc1\x1f12\x1fAAAAAAAA\x1f'],
])('[REC4] a record whose origin has %s is malformed', (_what, payload) => {
  expect(decodeEnvelope(payload)).toBeUndefined()
})

test('[REC2] [F25] a type that a later version adds is counted, and the next record arrives', () => {
  fc.assert(
    fc.property(envelope, envelope, (unknown, known) => {
      const received: Envelope[] = []
      const payload = `z${encodeEnvelope(unknown).slice(1)}${encodeEnvelope(known)}`
      expect(decodeEnvelopes(payload, (one) => received.push(one))).toBe(1)
      expect(received).toEqual([plain(known)])
    }),
  )
})

test.each([
  ['a peer outside the grammar', 's9:0:BAD\x1fc1\x1f12'],
  ['a connection outside the grammar', 's8:0:a/b\x1fC\x1f12'],
  ['an epoch with letters', 's9:0:a/b\x1fc1\x1f1e'],
  ['an epoch over the safe integers', 's24:0:a/b\x1fc1\x1f99999999999999999'],
  ['a missing field', 's6:0:a/b\x1fc1'],
  ['a length without digits', 's:0:a/b\x1fc1\x1f12'],
  ['a length of ten digits', 's0000000009:0:a/b\x1fc1\x1f1'],
  ['a length beyond the end', 's99:0:a/b\x1fc1\x1f12'],
  ['a pool outside the grammar', 'h8:2:c1\x1fA/x\x1fm{}'],
  ['a member of a pool with a space', 'h10:2:c1\x1fa/x\x1fm m{}'],
  ['a member of a pool without a character', 'h7:2:c1\x1fa/x\x1f{}'],
  ['a move without a time', 'v8:0:c1\x1fa/x\x1fm'],
  ['an error code outside the table', 'n12:0:c1\x1fa/b\x1fnope\x1fr'],
])('[F23] %s is refused', (_what, payload) => {
  expect(decodeEnvelope(payload)).toBeUndefined()
})

test('the malformed records above decode when they are corrected', () => {
  expect(decodeEnvelope('s9:0:a/b\x1fc1\x1f12')).toEqual({
    type: 'superseded',
    peer: 'a/b',
    connection: 'c1',
    epoch: 12,
  })
  const membership = { connection: 'c1', pool: 'a/x', member: 'm' }
  expect(decodeEnvelope('h8:2:c1\x1fa/x\x1fm{}')).toEqual({ type: 'hand', ...membership, frame: '{}' })
  expect(decodeEnvelope('v10:0:c1\x1fa/x\x1fm\x1f7')).toEqual({ type: 'moved', ...membership, since: 7 })
})
