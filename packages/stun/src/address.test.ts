import { isIPv4, isIPv6 } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatIp, readIp, readSource, transportAddress } from './address.js'

function bytesOf(text: string): number[] | undefined {
  const into = new Uint8Array(16)
  const length = readIp(text, into)
  return length === 0 ? undefined : [...into.subarray(0, length)]
}

const ipv6Text = fc
  .array(fc.constantFrom('0', '1', 'f', 'ab', 'FFFF', '00a0', ':', '::', '.', '1.2.3.4', 'g', '12345'), {
    maxLength: 12,
  })
  .map((parts) => parts.join(''))

describe('IP addresses', () => {
  it.each([
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('[STUN11] %s is written as %s', (text, canonical) => {
    expect(formatIp(Uint8Array.from(bytesOf(text) ?? []))).toBe(canonical)
  })

  it('[STUN11] a zone index may have any name, but not an empty one', () => {
    expect(bytesOf('fe80::1%veth_a0')).toEqual(bytesOf('fe80::1'))
    expect(bytesOf('fe80::1%')).toBeUndefined()
    expect(bytesOf('192.0.2.1%eth0')).toBeUndefined()
    expect(bytesOf('%eth0')).toBeUndefined()
  })

  it('[STUN11] a text is read if and only if Node calls it an IP address', () => {
    const texts = fc.oneof(
      ipv6Text,
      fc.string(),
      fc.ipV4(),
      fc.ipV6(),
      fc.ipV4Extended(),
      fc.string({ unit: fc.constantFrom('0', '1', '9', '.', ':', 'a'), maxLength: 18 }),
    )
    fc.assert(
      fc.property(texts, (text) => {
        // Node accepts only letters and digits in a zone's name. Here any name is accepted, see the test above.
        const plain = text.replace(/%.+$/s, '%zone')
        const expected = isIPv4(text) ? 4 : isIPv6(plain) ? 16 : undefined
        expect(bytesOf(text)?.length).toBe(expected)
      }),
      { numRuns: 20_000 },
    )
  })

  it('[STUN11] bytes written as text are read back the same, and the text is the one that a URL shows', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        // Long runs of zeros exercise the rules of RFC 5952.
        const sparse = bytes.map((byte, index) => (byte < 160 || index === 10 ? 0 : byte))
        const text = formatIp(sparse)
        expect(bytesOf(text)).toEqual([...sparse])
        expect(`[${text}]`).toBe(new URL(`http://[${text}]/`).hostname)
      }),
      { numRuns: 5_000 },
    )
  })

  it('[STUN11] an IPv4-mapped source is read as its IPv4 address, and similar addresses are not', () => {
    const ip = new Uint8Array(16)
    expect(readSource('::ffff:192.0.2.1', ip)).toBe(4)
    expect([...ip.subarray(0, 4)]).toEqual([192, 0, 2, 1])
    expect(readSource('::ffff:c000:201', ip)).toBe(4)
    expect(readSource('1::ffff:c000:201', ip)).toBe(16)
    expect(readSource('::fffe:c000:201', ip)).toBe(16)
    expect(readSource('::ff:c000:201', ip)).toBe(16)
    expect(transportAddress('::ffff:192.0.2.1', 5)).toEqual({ family: 'IPv4', address: '192.0.2.1', port: 5 })
  })

  it('a transport address needs a valid IP address and a valid port', () => {
    expect(transportAddress('example.org', 1)).toBeUndefined()
    expect(transportAddress('192.0.2.1', 65_536)).toBeUndefined()
    expect(transportAddress('192.0.2.1', 1.5)).toBeUndefined()
    expect(transportAddress('2001:db8::0:1', 65_535)).toEqual({
      family: 'IPv6',
      address: '2001:db8::1',
      port: 65_535,
    })
  })
})
