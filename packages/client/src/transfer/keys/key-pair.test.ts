import { createHash, createPublicKey, verify } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8 } from './bytes.js'
import { createKeyPair, exportKeyPair, hashOfKey, importKeyPair, isSignedBy, sign } from './key-pair.js'

test('[FT40] a signature is one that other implementations accept, and only for its message and key', () => {
  const [pair, other] = [createKeyPair(), createKeyPair()]
  const signature = sign(pair, utf8('message'))
  // SubjectPublicKeyInfo of a compressed key on P-256 (RFC 5480).
  const spki = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex')
  const key = createPublicKey({ key: Buffer.concat([spki, pair.publicKey]), format: 'der', type: 'spki' })
  expect(verify('sha256', utf8('message'), { key, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true)
  expect(isSignedBy(pair.publicKey, utf8('message'), signature)).toBe(true)
  expect(isSignedBy(other.publicKey, utf8('message'), signature)).toBe(false)
  expect(isSignedBy(pair.publicKey, utf8('massage'), signature)).toBe(false)
  for (const wrong of [new Uint8Array(64), new Uint8Array(64).fill(255), new Uint8Array(3)])
    expect(isSignedBy(pair.publicKey, utf8('message'), wrong)).toBe(false)
  expect(isSignedBy(new Uint8Array(33), utf8('message'), signature)).toBe(false)
  expect(isSignedBy(new Uint8Array(0), utf8('message'), signature)).toBe(false)
})

test('[FT30] the hash of a key is the first half of its SHA-256', () => {
  const { publicKey } = createKeyPair()
  expect(publicKey).toHaveLength(33)
  expect(Buffer.from(hashOfKey(publicKey))).toEqual(
    createHash('sha256').update(publicKey).digest().subarray(0, 16),
  )
})

test('a key pair comes back after a reload, and nothing else is taken for one', () => {
  const pair = createKeyPair()
  const text = exportKeyPair(pair)
  expect(importKeyPair(text)).toEqual(pair)
  const zero = 'A'.repeat(43)
  for (const wrong of ['', text.slice(1), `${text}A`, zero, '_'.repeat(43), `${text.slice(0, -1)}!`])
    expect(importKeyPair(wrong), wrong).toBeUndefined()
  fc.assert(
    fc.property(fc.string(), (any) => {
      expect(importKeyPair(any)).toBeUndefined()
    }),
  )
})
