import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ANNOUNCEMENT_LENGTH,
  encodeAnnouncement,
  parseAnnouncement,
  type Announcement,
} from './announcement.js'

const SHA256 = '0123456789abcdef'.repeat(4)
const TOKEN = 'abcdefghijklmnopqrstu_-'
const announced = (fields: object): string =>
  JSON.stringify({ v: 1, address: '10.0.0.1:9200', proof: `sha256:${SHA256}`, ...fields })

describe('an announcement', () => {
  test('is one line of JSON with the address and the proof', () => {
    const told = encodeAnnouncement({
      address: { host: '10.0.0.1', port: 9_200 },
      proof: { type: 'certificate', sha256: SHA256 },
    })
    expect(told).toBe(`{"v":1,"address":"10.0.0.1:9200","proof":"sha256:${SHA256}"}`)
  })

  test.each<Announcement>([
    { address: { host: '10.0.0.1', port: 1 }, proof: { type: 'certificate', sha256: SHA256 } },
    { address: { host: 'fd00::1', port: 65_535 }, proof: { type: 'token', token: TOKEN } },
    { address: { host: 'node-1.peers.example', port: 9_200 }, proof: { type: 'token', token: TOKEN } },
    {
      address: { host: `${'a'.repeat(61)}.`.repeat(4) + 'abcde', port: 65_535 },
      proof: { type: 'token', token: 'x'.repeat(128) },
    },
  ])('is read as it was written: $address.host', (announcement) => {
    const text = encodeAnnouncement(announcement)
    expect(text.length).toBeLessThanOrEqual(ANNOUNCEMENT_LENGTH)
    expect(parseAnnouncement(text)).toEqual(announcement)
  })

  test('may have fields that this version does not know', () => {
    expect(parseAnnouncement(announced({ zone: 'a' }))?.address).toEqual({ host: '10.0.0.1', port: 9_200 })
  })
})

describe('anything else is not an announcement', () => {
  test.each([
    ['empty', ''],
    ['not JSON', '{'],
    ['null', 'null'],
    ['a list', '[1]'],
    ['a number', '1'],
    ['another version', announced({ v: 2 })],
    ['no version', announced({ v: undefined })],
    ['no address', announced({ address: undefined })],
    ['an address without a port', announced({ address: '10.0.0.1' })],
    ['port 0', announced({ address: '10.0.0.1:0' })],
    ['an address that is a number', announced({ address: 9_200 })],
    ['an address with a line break', announced({ address: '10.0.0.1:9200\nx' })],
    ['no proof', announced({ proof: undefined })],
    ['a proof that is a number', announced({ proof: 1 })],
    ['another kind of proof', announced({ proof: `sha512:${SHA256}` })],
    ['a digest that is short', announced({ proof: `sha256:${SHA256.slice(1)}` })],
    ['a digest that is long', announced({ proof: `sha256:${SHA256}0` })],
    ['a digest in upper case', announced({ proof: `sha256:${SHA256.toUpperCase()}` })],
    ['a token that can be guessed', announced({ proof: 'token:abc' })],
    ['a token of other characters', announced({ proof: `token:${TOKEN}=` })],
    ['too long', announced({ more: 'x'.repeat(ANNOUNCEMENT_LENGTH) })],
  ])('%s', (_, text) => {
    expect(parseAnnouncement(text)).toBeUndefined()
  })

  test('parseAnnouncement never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json({ maxDepth: 3 }), fc.constantFrom(announced({}))), (text) => {
        parseAnnouncement(text)
        parseAnnouncement(announced({ address: text, proof: text }))
      }),
    )
  })
})
