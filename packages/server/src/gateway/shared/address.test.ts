import { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { Addresses, bucketOf, isLoopback } from './address.js'

/** A request from a socket at `remote`, with this X-Forwarded-For header. */
function from(remote: string, forwarded?: string) {
  const socket = new Socket()
  Object.defineProperty(socket, 'remoteAddress', { value: remote })
  return { socket, headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded } }
}

describe('the address of a request', () => {
  test('without trusted proxies X-Forwarded-For is ignored', () => {
    const addresses = new Addresses([])
    expect(addresses.of(from('192.0.2.1', '198.51.100.7'))).toBe('192.0.2.1')
    expect(addresses.of(from('127.0.0.1', '198.51.100.7'))).toBe('127.0.0.1')
  })

  test('a trusted proxy is believed, and no other sender is', () => {
    const addresses = new Addresses(['10.0.0.0/8', '::1', 'fd00::/8'])
    expect(addresses.of(from('10.1.2.3', '198.51.100.7'))).toBe('198.51.100.7')
    expect(addresses.of(from('::1', '198.51.100.7'))).toBe('198.51.100.7')
    expect(addresses.of(from('fd12::1', '2001:db8::7'))).toBe('2001:db8::7')
    expect(addresses.of(from('11.1.2.3', '198.51.100.7'))).toBe('11.1.2.3')
    expect(addresses.of(from('::2', '198.51.100.7'))).toBe('::2')
  })

  test('an entry that the peer forged stands before the entry of the proxy, and is not reached', () => {
    const addresses = new Addresses(['10.0.0.0/8'])
    expect(addresses.of(from('10.0.0.1', '1.1.1.1, 198.51.100.7'))).toBe('198.51.100.7')
    expect(addresses.of(from('10.0.0.1', '10.9.9.9, 198.51.100.7'))).toBe('198.51.100.7')
    expect(addresses.of(from('10.0.0.1', '1.1.1.1, 198.51.100.7, 10.0.0.2'))).toBe('198.51.100.7')
  })

  test('if all hops are trusted, the first one is the address', () => {
    expect(new Addresses(['10.0.0.0/8']).of(from('10.0.0.1', '10.0.0.3, 10.0.0.2'))).toBe('10.0.0.3')
  })

  test.each(['', ' , ', 'unknown', '_hidden', '1', '0x7f.1', '1.2.3.4.5', '"198.51.100.7"', '<script>'])(
    '%j is no address and is not used as one',
    (junk) => {
      expect(new Addresses(['10.0.0.1']).of(from('10.0.0.1', junk))).toBe('10.0.0.1')
      expect(new Addresses(['10.0.0.1']).of(from('10.0.0.1', `1.1.1.1, ${junk}`))).toBe('10.0.0.1')
    },
  )

  test('addresses with ports, with brackets and IPv4 in IPv6 are read', () => {
    const addresses = new Addresses(['10.0.0.0/8'])
    expect(addresses.of(from('::ffff:10.0.0.1', '198.51.100.7:1234'))).toBe('198.51.100.7')
    expect(addresses.of(from('10.0.0.1', '[2001:db8::7]:1234'))).toBe('2001:db8::7')
    expect(addresses.of(from('10.0.0.1', '::ffff:198.51.100.7'))).toBe('198.51.100.7')
  })

  // Each of these once threw in the listener of an upgrade, which ended the process.
  test.each(['::1%a-b', 'fe80::1%br-0a1b', '64:ff9b::1.2.3.4', '::127.0.0.1'])(
    '%s, which is an address for Node but not for ipaddr.js, does not throw',
    (odd) => {
      expect(() => new Addresses([]).of(from(odd))).not.toThrow()
      expect(() => new Addresses(['10.0.0.1']).of(from('10.0.0.1', odd))).not.toThrow()
      expect(() => bucketOf(odd)).not.toThrow()
    },
  )

  test('the zone of a link-local address is dropped', () => {
    expect(new Addresses([]).of(from('fe80::1%br-0a1b'))).toBe('fe80::1')
  })

  test('a header of a million hops costs no more than a short one', () => {
    const addresses = new Addresses(['10.0.0.0/8'])
    const forwarded = Array.from({ length: 1_000_000 }, () => '10.0.0.2').join(',')
    expect(addresses.of(from('10.0.0.1', `1.1.1.1,${forwarded}`))).toBe('10.0.0.2')
  })
})

describe('the bucket of a request', () => {
  const proxied = new Addresses(['127.0.0.0/8', '::1', '10.0.0.0/8'])

  test.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])(
    'a socket from %s without forwarding headers is loopback',
    (remote) => {
      expect(isLoopback(proxied.bucketOf(from(remote)))).toBe(true)
      expect(isLoopback(new Addresses([]).bucketOf(from(remote)))).toBe(true)
      // Without trusted proxies the header does not count.
      expect(isLoopback(new Addresses([]).bucketOf(from(remote, '198.51.100.7')))).toBe(true)
    },
  )

  test.each([
    '127.0.0.1',
    '127.0.0.1:4711',
    '127.1',
    '::1',
    '[::1]:4711',
    '0:0:0:0:0:0:0:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::1%lo',
    '"127.0.0.1"',
    'localhost',
    'unknown',
    '',
  ])('a request through a proxy that names %j is limited', (forwarded) => {
    for (const remote of ['127.0.0.1', '::1', '::ffff:127.0.0.1'])
      expect(proxied.bucketOf(from(remote, forwarded))).toBe('unknown')
    expect(isLoopback(proxied.bucketOf(from('10.0.0.1', forwarded)))).toBe(false)
  })

  test.each(['forwarded', 'x-real-ip'])('a request with %s is limited, though that is not read', (header) => {
    const request = { ...from('127.0.0.1'), headers: { [header]: 'for=127.0.0.1' } }
    expect(proxied.bucketOf(request)).toBe('unknown')
  })

  test('a request from another machine is never loopback', () => {
    expect(proxied.bucketOf(from('192.0.2.1'))).toBe('192.0.2.1')
    expect(proxied.bucketOf(from('192.0.2.1', '127.0.0.1'))).toBe('192.0.2.1')
    expect(proxied.bucketOf(from('10.0.0.1'))).toBe('10.0.0.1')
  })

  test('is one IPv4 address or one IPv6 /64', () => {
    expect(bucketOf('192.0.2.1')).toBe('192.0.2.1')
    expect(bucketOf('::ffff:192.0.2.1')).toBe('192.0.2.1')
    expect(bucketOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64')
    expect(bucketOf('2001:db8:1:2:ffff::1')).toBe(bucketOf('2001:db8:1:2::9'))
    expect(bucketOf('2001:db8:1:3::1')).not.toBe(bucketOf('2001:db8:1:2::1'))
  })

  test('is the same for all requests without an address', () => {
    expect(bucketOf('')).toBe('unknown')
  })
})
