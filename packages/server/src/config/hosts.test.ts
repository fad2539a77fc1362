import { describe, expect, test } from 'vitest'
import { nodeDefinition } from './check.js'
import { isLoopback, isPrivate } from './hosts.js'
import { resolve, type Definition } from './load.js'
import { stunDefinition } from './stun.js'

/** The other settings with which a node accepts any host. */
const REST = { open: true, 'redis.url': 'redis://localhost' }

function problems<T>(definition: Definition<T>, given: Readonly<Record<string, unknown>>): string[] {
  const values = Object.entries(given).map(([path, value]) => [path, { value, source: 'test' }] as const)
  const loaded = resolve(definition, [{ values: new Map(values), problems: [] }])
  return loaded.ok ? [] : loaded.problems.map(({ path, problem }) => `${path} ${problem}`)
}

const settings = [
  ['host', 'port', (host: string) => problems(nodeDefinition, { ...REST, host })],
  ['admin.host', 'admin.port', (host: string) => problems(nodeDefinition, { 'admin.host': host })],
  ['links.host', 'links.port', (host: string) => problems(nodeDefinition, { ...REST, 'links.host': host })],
  ['host.0', 'port', (host: string) => problems(stunDefinition, { host: [host] })],
] as const

describe.each(settings)('%s', (setting, port, tried) => {
  test.each([
    '127.0.0.1:9200',
    'node1:9200',
    'http://127.0.0.1',
    '[::1]',
    '[::1]:9200',
    '*',
    '10.0.0.0/8',
    'a b',
    '.',
  ])('%s is no host', (host) => {
    expect(tried(host)).toEqual([
      `${setting} must be only an address or a name, without scheme, port or brackets (the port is the setting ${port}); for all addresses use 0.0.0.0 or ::; it is ${JSON.stringify(host)}`,
    ])
  })

  // The system would read these as other addresses, such as all addresses, and a comparison of texts would not notice.
  test.each([
    '0',
    '0x0',
    '00000000',
    '::0',
    '0:0:0:0:0:0:0:0',
    '::ffff:0.0.0.0',
    '127.1',
    '0x7f.1',
    '256.1.1.1',
  ])('%s is refused, because the system reads it differently', (host) => {
    expect(tried(host)).toEqual([
      expect.stringMatching(/ must be .*; for all addresses use 0\.0\.0\.0 or ::; it is /),
    ])
  })

  test.each([
    '0.0.0.0',
    '::',
    '127.0.0.1',
    '::1',
    'fe80::1%eth0',
    'localhost',
    'node-1.example',
    'node_1',
    'a1.b2.',
    'bücher',
  ])('%s is a host', (host) => expect(tried(host)).toEqual([]))
})

test('addresses and localhost are classified, and any other name may be any address', () => {
  expect(['localhost', '127.9.9.9', '::1', '::ffff:127.0.0.1'].filter((host) => !isLoopback(host))).toEqual(
    [],
  )
  expect(['10.0.0.1', '::', '0.0.0.0', 'node1', '0'].filter(isLoopback)).toEqual([])
  expect(['localhost', '10.0.0.1', 'fd00::1', 'fe80::1%eth0'].filter((host) => !isPrivate(host))).toEqual([])
  expect(['8.8.8.8', '::', '0.0.0.0', 'node1', '0', '0x0'].filter(isPrivate)).toEqual([])
})
