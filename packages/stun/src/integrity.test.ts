import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  longTermKey,
  seal,
  shortTermKey,
  verifyFingerprint,
  verifyIntegrity,
  verifyIntegritySha256,
} from './integrity.js'
import { decode, encode, find } from './message.js'
import { plainMessages } from './testing/arbitraries.js'
import rfc5769 from './testing/rfc5769.json' with { type: 'json' }

function vector(section: string): (typeof rfc5769.vectors)[number] & { bytes: Buffer } {
  const found = rfc5769.vectors.find((each) => each.section === section)
  if (found === undefined) throw new Error(`no vector ${section}`)
  return { ...found, bytes: Buffer.from(found.hex, 'hex') }
}

/** A copy of the message with one bit flipped. */
function flip(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes)
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7))
  return flipped
}

describe('the vectors of RFC 5769', () => {
  it.each(['2.1', '2.2', '2.3'])(
    '[STUN20] section %s: integrity by a short-term key, and fingerprint',
    (section) => {
      const { bytes, password } = vector(section)
      expect(password).toBeDefined()
      expect(decode(bytes).ok).toBe(true)
      expect(verifyIntegrity(bytes, shortTermKey(password ?? ''))).toBe('valid')
      expect(verifyIntegrity(bytes, shortTermKey(`${password}x`))).toBe('invalid')
      expect(verifyFingerprint(bytes)).toBe('valid')
      expect(verifyIntegritySha256(bytes, shortTermKey(password ?? ''))).toBe('absent')
    },
  )

  it('[STUN20] section 2.1: the attributes of the request', () => {
    const decoded = decode(vector('2.1').bytes)
    if (!decoded.ok) throw new Error(decoded.reason)
    const { message } = decoded
    expect([message.class, message.method]).toEqual(['request', 1])
    expect(message.attributes.map((each) => each.kind)).toEqual([
      'software',
      'unknown', // PRIORITY
      'unknown', // ICE-CONTROLLED
      'username',
      'message-integrity',
      'fingerprint',
    ])
    expect(find(message, 'software')?.text).toBe('STUN test client')
    expect(find(message, 'username')?.text).toBe('evtj:h6vY')
  })

  it.each(['2.2', '2.3'])('[STUN20] section %s: the address in the answer', (section) => {
    const { bytes, xorMappedAddress } = vector(section)
    const decoded = decode(bytes)
    if (!decoded.ok) throw new Error(decoded.reason)
    const address = find(decoded.message, 'xor-mapped-address')?.address
    const host = address?.family === 'IPv6' ? `[${address.address}]` : address?.address
    expect(`${host}:${address?.port}`).toBe(xorMappedAddress)
    expect(decoded.message.class).toBe('success')
  })

  it('[STUN20] section 2.4: integrity by a long-term key', () => {
    const { bytes, longTermKey: credentials } = vector('2.4')
    const { username = '', realm = '', password = '' } = credentials ?? {}
    expect(verifyIntegrity(bytes, longTermKey(username, realm, password))).toBe('valid')
    expect(verifyIntegrity(bytes, longTermKey(username, realm, `${password}x`))).toBe('invalid')
    expect(verifyFingerprint(bytes)).toBe('absent')
    const decoded = decode(bytes)
    expect(decoded.ok && find(decoded.message, 'username')?.text).toBe(username)
    expect(decoded.ok && find(decoded.message, 'realm')?.text).toBe(realm)
    expect(decoded.ok && find(decoded.message, 'nonce')?.text).toBe('f//499k954d6OL34oL9FSTvy64sA')
  })

  it('[STUN23] any flipped bit in a vector makes it invalid, or not a message', () => {
    for (const { section } of rfc5769.vectors) {
      const { bytes, password, longTermKey: credentials } = vector(section)
      const { username = '', realm = '', password: long = '' } = credentials ?? {}
      const key = password === undefined ? longTermKey(username, realm, long) : shortTermKey(password)
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const changed = flip(bytes, bit)
        // The integrity attribute does not cover the fingerprint after it. The fingerprint covers all the rest.
        const verdicts = [verifyIntegrity(changed, key), verifyFingerprint(changed)]
        expect(verdicts.every((verdict) => verdict === 'valid')).toBe(false)
        if (section === '2.4') expect(verdicts[0]).not.toBe('valid')
        else expect(verdicts[1]).not.toBe('valid')
      }
    }
  })
})

describe('seals', () => {
  it('[STUN21] [STUN22] [STUN23] a sealed message verifies, and with a flipped bit it does not', () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 80 })
    fc.assert(
      fc.property(plainMessages, key, key, fc.nat(), (message, sha1Key, sha256Key, at) => {
        const sealed = seal(encode(message), { key: sha1Key, sha256Key, fingerprint: true })
        expect(decode(sealed).ok).toBe(true)
        expect(verifyIntegrity(sealed, sha1Key)).toBe('valid')
        expect(verifyIntegritySha256(sealed, sha256Key)).toBe('valid')
        expect(verifyFingerprint(sealed)).toBe('valid')
        expect(verifyFingerprint(flip(sealed, at % (sealed.length * 8)))).not.toBe('valid')
        const beforeSeals = sealed.length - 8 - 36 - 24
        const changed = flip(sealed, at % (beforeSeals * 8))
        expect(verifyIntegrity(changed, sha1Key)).not.toBe('valid')
        expect(verifyIntegritySha256(changed, sha256Key)).not.toBe('valid')
      }),
      { numRuns: 500 },
    )
  })

  it('[STUN21] an HMAC-SHA256 may be truncated, down to 16 bytes', () => {
    const key = Buffer.from('key')
    const plain = encode({ class: 'request', method: 1, transactionId: Buffer.alloc(12), attributes: [] })
    const long = seal(plain, { sha256Key: key })
    for (const length of [12, 16, 20, 24, 28, 32]) {
      // The HMAC covers the header, whose length says where the attribute ends. So a cut HMAC needs a new signature.
      const cut = Buffer.from(long.subarray(0, 24 + length))
      cut.writeUInt16BE(4 + length, 2)
      cut.writeUInt16BE(length, 22)
      expect(verifyIntegritySha256(cut, key)).toBe(length === 32 ? 'valid' : 'invalid')
    }
    expect(verifyIntegritySha256(Buffer.from(CUT_SHORT, 'hex'), key)).toBe('valid')
  })

  it('[STUN21] bytes that are not a message never verify', () => {
    expect(verifyIntegrity(Buffer.alloc(3), Buffer.from('k'))).toBe('invalid')
    expect(verifyFingerprint(Buffer.alloc(100))).toBe('invalid')
  })
})

/** `printf '000100142112a442000000000000000000000000' | xxd -r -p | openssl dgst -sha256 -hmac key`, truncated to 16 bytes. */
const CUT_SHORT = '000100142112a442000000000000000000000000001c00102f77ffc9e0dd536467f62ed422506586'
