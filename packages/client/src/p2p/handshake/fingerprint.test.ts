import { describe, expect, it } from 'vitest'
import { fingerprintOf, withOneFingerprint } from './fingerprint.js'

const hexOf = (bytes: number, byte = 'AB'): string => Array.from({ length: bytes }, () => byte).join(':')
const SHA_256 = `a=fingerprint:sha-256 ${hexOf(32)}`
const OTHER = `a=fingerprint:sha-256 ${hexOf(32, 'CD')}`
const SHA_1 = `a=fingerprint:sha-1 ${hexOf(20)}`
const SHA_512 = `a=fingerprint:sha-512 ${hexOf(64)}`
const MEDIA = 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel'

describe('[PP41] the fingerprint of a description', () => {
  it.each([
    ['in the session', ['v=0', SHA_256, MEDIA]],
    ['in the media section', ['v=0', MEDIA, SHA_256, 'a=setup:actpass']],
    ['in lower case', ['v=0', MEDIA, SHA_256.toLowerCase()]],
    ['with an upper-case hash', ['v=0', MEDIA, SHA_256.replace('sha', 'SHA')]],
    ['beside those of other hashes', ['v=0', SHA_1, MEDIA, SHA_256, SHA_512]],
  ])('is found %s', (_, lines) => {
    expect(fingerprintOf(lines.join('\r\n'))).toBe('ab'.repeat(32))
    const kept = withOneFingerprint(lines)
    expect(kept).toEqual(lines.filter((line) => line !== SHA_1 && line !== SHA_512))
  })

  it.each([
    ['is absent', []],
    ['is by SHA-1 only', [SHA_1]],
    ['is by SHA-512 only', [SHA_512]],
    ['is double', [SHA_256, OTHER]],
    ['is double and equal', [SHA_256, SHA_256]],
    ['is too short', [`a=fingerprint:sha-256 ${hexOf(31)}`]],
    ['is too long', [`a=fingerprint:sha-256 ${hexOf(33)}`]],
    ['has more behind it', [`${SHA_256} ${hexOf(32)}`]],
    ['is followed by one that a lenient parser could read', [SHA_256, `a= fingerprint:sha-256 ${hexOf(32)}`]],
    ['is followed by one in upper case', [SHA_256, OTHER.replace('fingerprint', 'FINGERPRINT')]],
    ['is followed by one without a hash', [SHA_256, 'a=fingerprint']],
    ['is followed by one with two blanks', [SHA_256, OTHER.replace(' ', '  ')]],
  ])('is refused if it %s', (_, lines) => {
    expect(withOneFingerprint(['v=0', MEDIA, ...lines])).toBeUndefined()
    expect(fingerprintOf(['v=0', MEDIA, ...lines].join('\r\n'))).toBeUndefined()
  })
})
