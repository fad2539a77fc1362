import { parseName } from '@peerage/protocol'
import type { Name } from '@peerage/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { linkKey } from '../../testing/handshake-pair.js'
import { toHex } from './bytes.js'
import { createLinkSecret, fragmentOf, linkOf, parseFragment, parseLink } from './link.js'
import type { LinkKey } from './link.js'

function nameOf(text: string): Name {
  const parsed = parseName(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}
const fragment = fragmentOf(linkKey)
const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => new Uint8Array(bytes))
const keys: fc.Arbitrary<LinkKey> = fc.record({
  needsPassword: fc.boolean(),
  secret: bytes16,
  keyHash: bytes16,
})

const anyText = fc.uint16Array({ maxLength: 80 }).map((codes) => String.fromCharCode(...codes))

test('[FT30] a fragment has 44 characters: version and flag, secret, hash of the key', () => {
  const bytes = Buffer.from(fragment, 'base64url')
  expect([fragment.length, bytes.length, bytes[0]]).toEqual([44, 33, 0x10])
  expect(bytes.subarray(1).toString('hex')).toBe(toHex(linkKey.secret) + toHex(linkKey.keyHash))
  expect(Buffer.from(fragmentOf({ ...linkKey, needsPassword: true }), 'base64url')[0]).toBe(0x11)
  expect(createLinkSecret()).toHaveLength(16)
  expect(createLinkSecret()).not.toEqual(createLinkSecret())
})

test('[FT30] what is written is read again, in every name and place', () => {
  const name = fc
    .string({ unit: 'grapheme', maxLength: 12 })
    .map(parseName)
    .filter((parsed) => parsed.ok)
    .map((parsed) => parsed.value)
  fc.assert(
    fc.property(keys, name, fc.boolean(), (key, name, isAlone) => {
      const written = linkOf('https://peers.example/share/?old=1#old', name, fragmentOf(key))
      const text = isAlone ? written.slice(written.indexOf('?')) : written
      const base = isAlone ? undefined : 'https://peers.example/share/'
      const expected = { base, name, fragment: fragmentOf(key), key }
      expect(parseLink(text)).toEqual({ ok: true, link: expected })
    }),
  )
  expect(linkOf('http://10.0.0.2:8080', nameOf('ann & bob'), 'F')).toBe(
    'http://10.0.0.2:8080/?peer_id=ann%20%26%20bob#F',
  )
})

test('[FT31] a link is read as people copy it', () => {
  const read = (text: string): unknown => {
    const parsed = parseLink(text)
    return parsed.ok ? [parsed.link.base, parsed.link.name, parsed.link.fragment] : parsed.why
  }
  const base = 'https://peers.example/'
  expect(read(`\n  ${base}?peer_id=ann#${fragment}  \n`)).toEqual([base, 'ann', fragment])
  expect(read(`${base}?peer_id=ann#${fragment}).`)).toEqual([base, 'ann', fragment])
  expect(read(`${base}?utm=x&peer_id=a+b#${fragment}`)).toEqual([base, 'a b', fragment])
  expect(read(`peer_id=ann#${fragment}`)).toEqual([undefined, 'ann', fragment])
  expect(read(`javascript:alert(1)?peer_id=ann#${fragment}`)).toEqual([undefined, 'ann', fragment])
  expect(parseFragment(` #${fragment}\n`)).toEqual({ ok: true, key: linkKey })
})

test('[FT31] each mistake of a link is told apart', () => {
  const start = 'https://peers.example/?peer_id=ann'
  const other = Buffer.from(fragment, 'base64url').fill(0x20, 0, 1).toString('base64url')
  const flags = Buffer.from(fragment, 'base64url').fill(0x12, 0, 1).toString('base64url')
  const mistakes: [string, string][] = [
    ['', 'not-a-link'],
    ['17-crane-otter-tulip', 'not-a-link'],
    [`https://peers.example/?peer_id=ann#${'.'.repeat(1_000_000)}`, 'not-a-link'],
    ['https://peers.example/', 'not-a-link'],
    [`https://peers.example/?peer_id=#${fragment}`, 'bad-name'],
    [`https://peers.example/?peer_id=%00#${fragment}`, 'bad-name'],
    [`https://peers.example/?peer_id=${'x'.repeat(500)}#${fragment}`, 'bad-name'],
    [start, 'missing'],
    [`${start}#`, 'missing'],
    [`${start}#${fragment.slice(0, -1)}`, 'cut-short'],
    [`${start}#${fragment.slice(0, 1)}`, 'cut-short'],
    [`${start}#${fragment}A`, 'too-long'],
    [`${start}#${fragment.slice(0, 20)}%20${fragment.slice(20)}`, 'bad-characters'],
    [`${start}#${other}`, 'other-version'],
    [`${start}#${other}AAAA`, 'other-version'],
    [`${start}#${flags}`, 'other-version'],
  ]
  for (const [text, why] of mistakes) expect(parseLink(text), text).toMatchObject({ ok: false, why })
})

test('[FT31] no text makes the reader throw', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      parseFragment(text)
      parseLink(text)
      parseLink(`https://x/?peer_id=${text}#${text}`)
    }),
  )
})
