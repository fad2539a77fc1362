import { describe, expect, it } from 'vitest'
import { formatHostPort, formatIceUrl, icePort, iceTransport, parseHostPort, parseIceUrl } from './ice-url.js'

/** What a text is read as: the URL for WebRTC, the port, and the transport; or the rule that the text breaks. */
function read(text: unknown): string {
  const url = parseIceUrl(text)
  return url.ok ? `${formatIceUrl(url.value)} ${icePort(url.value)} ${iceTransport(url.value)}` : url.problem
}

describe('[WN6] the URL of a STUN or TURN server is read', () => {
  it.each([
    ['stun:a.example', 'stun:a.example 3478 udp'],
    ['stun:a.example:9001', 'stun:a.example:9001 9001 udp'],
    ['stun:192.0.2.1', 'stun:192.0.2.1 3478 udp'],
    ['stun:192.0.2.1:65535', 'stun:192.0.2.1:65535 65535 udp'],
    ['stun:[2001:db8::1]', 'stun:[2001:db8::1] 3478 udp'],
    ['stun:[2001:DB8:0:0::1]:3478', 'stun:[2001:db8::1]:3478 3478 udp'],
    ['stun:[::1]:9001', 'stun:[::1]:9001 9001 udp'],
    ['stun:[::ffff:192.0.2.1]:1', 'stun:[::ffff:c000:201]:1 1 udp'],
    ['stuns:a.example', 'stuns:a.example 5349 tls'],
    ['stuns:a.example:443', 'stuns:a.example:443 443 tls'],
    ['turn:a.example', 'turn:a.example 3478 udp'],
    ['turn:a.example:3478', 'turn:a.example:3478 3478 udp'],
    ['turn:[2001:db8::1]', 'turn:[2001:db8::1] 3478 udp'],
    ['turn:a.example?transport=udp', 'turn:a.example?transport=udp 3478 udp'],
    ['turn:a.example?transport=tcp', 'turn:a.example?transport=tcp 3478 tcp'],
    ['turn:192.0.2.1:80?transport=tcp', 'turn:192.0.2.1:80?transport=tcp 80 tcp'],
    ['turn:[::1]:3478?transport=udp', 'turn:[::1]:3478?transport=udp 3478 udp'],
    ['turns:a.example', 'turns:a.example 5349 tls'],
    ['turns:a.example:443?transport=tcp', 'turns:a.example:443?transport=tcp 443 tls'],
    ['turns:a.example?transport=udp', 'turns:a.example?transport=udp 5349 dtls'],
    ['turns:[2001:db8::1]:443?transport=tcp', 'turns:[2001:db8::1]:443?transport=tcp 443 tls'],
  ])('%s (RFC 7064, RFC 7065)', (text, expected) => {
    expect(read(text)).toBe(expected)
    // The URL that was written is read as the same again.
    expect(read(expected.split(' ')[0])).toBe(expected)
  })

  it.each([
    ['STUN:a.example', 'stun:a.example 3478 udp'],
    ['Turns:A.EXAMPLE', 'turns:a.example 5349 tls'],
    ['turn:a.example?transport=TCP', 'turn:a.example?transport=tcp 3478 tcp'],
    ['turn:a.example?Transport=udp', 'turn:a.example?transport=udp 3478 udp'],
    [' stun:a.example\n', 'stun:a.example 3478 udp'],
    ['stun:bücher.example', 'stun:xn--bcher-kva.example 3478 udp'],
    ['stun:a%2eexample', 'stun:a.example 3478 udp'],
    ['stun:a.example.:1', 'stun:a.example.:1 1 udp'],
    ['stun:coturn_1:3478', 'stun:coturn_1:3478 3478 udp'],
    ['stun:localhost:01', 'stun:localhost:1 1 udp'],
  ])('%j, and is written in the spelling that every stack reads', (text, expected) => {
    expect(read(text)).toBe(expected)
  })

  const scheme = 'must begin with stun:, stuns:, turn: or turns:'
  const host = 'must name a host: a name, an IPv4 address, or an IPv6 address in brackets'
  const port = 'must have a port from 1 to 65535, or none'
  const query = 'may end in ?transport=udp or ?transport=tcp after turn: and turns:, and in nothing else'
  it.each([
    ['', scheme],
    ['a.example:3478', scheme],
    ['http://a.example', scheme],
    ['udp:a.example', scheme],
    ['stun:[2001:db8::1', host],
    ['stun:[::1]x:1', host],
    ['stun:', host],
    ['turns:', host],
    ['stun::3478', host],
    ['stun://a.example', host],
    ['turn://a.example:3478', host],
    ['turn:user@a.example', host],
    ['turn:user:pw@a.example', port],
    ['stun:a.example/path', host],
    ['stun:a.example#f', host],
    ['stun:a b', host],
    ['stun: a.example', host],
    ['stun:a\\b', host],
    ['stun:a..b', host],
    ['stun:1', host],
    ['stun:0x7f.1', host],
    ['stun:256.1.1.1:1', host],
    ['stun:[1.2.3.4]:1', host],
    ['stun:[fe80::1%eth0]:1', host],
    ['stun:[fe80::1%25eth0]:1', host],
    ['stun:[:::]:1', host],
    ['stun:2001:db8::1', host],
    ['stun:a.example:', port],
    ['stun:a.example:0', port],
    ['stun:a.example:65536', port],
    ['stun:a.example:+1', port],
    ['stun:a.example:abc', port],
    ['stun:1:2:3', host],
    ['turn:a.example:3478/path', port],
    ['stun:a.example?transport=udp', query],
    ['stuns:a.example?transport=tcp', query],
    ['turn:a.example?', query],
    ['turn:a.example?transport=', query],
    ['turn:a.example?transport=tls', query],
    ['turn:a.example?foo=bar', query],
    ['turn:a.example?transport=udp&x=y', query],
    ['turn:a.example?transport=udp&transport=tcp', query],
    ['turn:a.example?transport=udp#x', query],
    [undefined, 'must be a string'],
    [['stun:a.example'], 'must be a string'],
  ])('%j is refused', (text, problem) => {
    expect(read(text)).toBe(problem)
  })
})

describe('[WN6] host:port', () => {
  it.each([
    ['a.example:9001', { host: 'a.example', port: 9001 }],
    ['192.0.2.1:1', { host: '192.0.2.1', port: 1 }],
    ['[::1]:9001', { host: '::1', port: 9001 }],
  ])('%s', (text, expected) => {
    expect(parseHostPort(text)).toEqual(expected)
    expect(formatHostPort(expected)).toBe(text)
  })

  it.each([
    '',
    'a',
    '[::1]',
    '::1:1',
    'a:0',
    'a:65536',
    'stun:a:1',
    'a b:1',
    'a/b:1',
    'a:1?x',
    'u@a:1',
    undefined,
  ])('%j is refused', (text) => expect(parseHostPort(text)).toBe(undefined))
})
