import type { NetworkInterfaceInfo } from 'node:os'
import { describe, expect, test } from 'vitest'
import { addressesBeyondLoopback, urlAt } from './addresses.js'

const at = (address: string, internal = false): NetworkInterfaceInfo => {
  const shared = { address, netmask: '', mac: '', internal, cidr: null }
  return address.includes(':') ? { ...shared, family: 'IPv6', scopeid: 0 } : { ...shared, family: 'IPv4' }
}

const interfaces = {
  lo: [at('127.0.0.1', true), at('::1', true)],
  docker0: [at('172.17.0.1')],
  eth1: [at('203.0.113.7'), at('2001:db8::7')],
  wlan0: [at('192.168.1.20'), at('fe80::1'), at('fd00::20')],
}

describe('the addresses of a node for other devices', () => {
  test.each([
    ['127.0.0.1', []],
    ['localhost', []],
    ['::1', []],
    ['192.168.1.20', ['192.168.1.20']],
    ['box.example', ['box.example']],
    ['0.0.0.0', ['192.168.1.20', '203.0.113.7', '172.17.0.1']],
    ['::', ['192.168.1.20', '203.0.113.7', 'fd00::20', '2001:db8::7', '172.17.0.1']],
  ])('that listens on %s: %j', (host, expected) => {
    expect(addressesBeyondLoopback(host, interfaces)).toEqual(expected)
  })
})

test.each([
  ['http://127.0.0.1:9000', '192.168.1.20', 'http://192.168.1.20:9000'],
  ['https://127.0.0.1:9000/base/', 'fd00::20', 'https://[fd00::20]:9000/base/'],
  ['http://[::1]:9000', 'box.example', 'http://box.example:9000'],
])('%s at %s is %s', (url, host, expected) => {
  expect(urlAt(url, host)).toBe(expected)
})
