import type { NetworkInterfaceInfo } from 'node:os'
import { expect, test } from 'vitest'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { readyText } from './serve.js'

const address: NetworkInterfaceInfo = {
  address: '192.168.1.20',
  family: 'IPv4',
  netmask: '255.255.255.0',
  mac: '',
  internal: false,
  cidr: null,
}

function text(input: ConfigInput, url = 'http://127.0.0.1:9000'): string {
  const startedAs = { serve: 'npm start --' }
  return readyText(url, configSchema.parse(input), { eth0: [address] }, startedAs).join('\n')
}

test('a node on loopback says how to let other devices in', () => {
  expect(text({})).toBe(`
Peerage is ready.
Open its page in a browser, and the link that the page shows in another tab or on another device:
  http://127.0.0.1:9000
Only this machine can open it. To let other devices in, end it and start it with
  npm start -- --host 0.0.0.0 --open
or, for nobody but the pages of this node, with
  npm start -- --host 0.0.0.0 --origins http://127.0.0.1:9000,http://192.168.1.20:9000
Ctrl-C ends it.
`)
  const other = text({ port: 9_100, page: false }, 'http://127.0.0.1:9100')
  expect(other).toContain('npm start -- --host 0.0.0.0 --port 9100 --open')
  expect(other).not.toContain('page in a browser')
  expect(text({ access: { key: 'k'.repeat(16) } })).toContain('start it with --host 0.0.0.0 added.')
})

test('a node beyond loopback names the address that other devices open', () => {
  expect(text({ host: '0.0.0.0', open: true })).toBe(`
Peerage is ready.
Open its page in a browser, and the link that the page shows in another tab or on another device:
  http://127.0.0.1:9000
  http://192.168.1.20:9000
Over plain http, the browser of another device receives files of at most 256 MB, and has no camera and no microphone. With https there are no such limits.
Ctrl-C ends it.
`)
  const withTls = text(
    { host: '0.0.0.0', open: true, tls: { cert: 'c', key: 'k' } },
    'https://127.0.0.1:9000',
  )
  expect(withTls).toContain('  https://192.168.1.20:9000\nCtrl-C')
})
