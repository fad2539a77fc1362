import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answer, refusal } from './binding.js'
import { verifyFingerprint, verifyIntegrity, verifyIntegritySha256 } from './integrity.js'
import { decode, encode } from './message.js'
import { plainMessages } from './testing/arbitraries.js'
import { loopback } from './testing/loopback.js'

/** Bytes that pass the first checks more often than random bytes do. */
const headed = fc
  .tuple(
    fc.constantFrom(0x0001, 0x0011, 0x0101, 0x0111, 0x4001),
    fc.uint8Array({ maxLength: 120 }),
    fc.nat({ max: 9 }),
  )
  .map(([type, body, lie]) => {
    const bytes = Buffer.alloc(20 + (lie === 0 ? body.length : body.length & ~3))
    bytes.writeUInt16BE(type, 0)
    bytes.writeUInt16BE(lie === 1 ? 0xfffc : bytes.length - 20, 2)
    bytes.writeUInt32BE(0x2112a442, 4)
    bytes.set(body.subarray(0, bytes.length - 20), 20)
    return bytes
  })

/** A valid message with some bytes changed or its end cut off. */
const damaged = fc
  .tuple(
    plainMessages,
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
    fc.nat({ max: 30 }),
  )
  .map(([message, changes, cut]) => {
    const bytes = encode(message)
    for (const [at, value] of changes) bytes[at % bytes.length] = value
    return bytes.subarray(0, cut < 4 ? bytes.length - cut : bytes.length)
  })

const datagrams = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  headed,
  damaged,
)

describe('any datagram', () => {
  it('[STUN2] is decoded, checked and answered without a throw, and without being changed', () => {
    const ip = new Uint8Array([192, 0, 2, 1, ...Buffer.alloc(12)])
    const key = Buffer.from('key')
    fc.assert(
      fc.property(datagrams, (bytes) => {
        const before = Buffer.from(bytes)
        const decoded = decode(bytes)
        verifyIntegrity(bytes, key)
        verifyIntegritySha256(bytes, key)
        verifyFingerprint(bytes)
        const answered = refusal(bytes) ?? answer(bytes, ip, 4, 1)
        if (!decoded.ok) expect(typeof answered).toBe('string')
        expect(bytes.equals(before)).toBe(true)
      }),
      { numRuns: 20_000 },
    )
  })

  it('[STUN2] [STUN31] [STUN39] a live server gets 5,000: it answers the right ones, counts all, and keeps running', async () => {
    const { server, client, answersTo, close } = await loopback()
    const socket = await client()
    const ip = new Uint8Array([127, 0, 0, 1])
    const sample = fc.sample(datagrams, 5_000)
    let sent = 0
    // Sent in small batches, because a full socket buffer drops datagrams, and this test counts them.
    for (let at = 0; at < sample.length; at += 100) {
      const batch = sample.slice(at, at + 100)
      const expected = batch.filter(
        (bytes) => (refusal(bytes) ?? typeof answer(bytes, ip, 4, 1)) === 'object',
      )
      const answers = await answersTo(socket, ...batch)
      expect(answers.length).toBe(expected.length)
      sent += batch.length + 1
    }
    const { answered, refused, dropped, errors } = server.counters
    const drops = Object.values(dropped).reduce((sum, count) => sum + count, 0)
    expect(answered + refused + drops).toBe(sent)
    expect(errors).toBe(0)
    await close()
  })
})
