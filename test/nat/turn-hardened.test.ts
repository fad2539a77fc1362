import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { COTURN, probeStun, turnCredentials } from '@peerage/test-support/coturn.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory, startServer } from '@peerage/test-support/fixture.js'
import { freePortBoth } from '@peerage/test-support/ports.js'
import type { Running } from '@peerage/test-support/process.js'
import { openTurnClient, type TurnClient } from './turn-client.js'

// Real coturn with the configuration file that we ship.

const CONFIG = `${REPOSITORY}deploy/turnserver.conf`
const SECRET = 'north'

interface Hardened {
  port: number
  stop(): Promise<void>
  /** A client with credentials of `name`. It keeps its port and its allocation until `stop`. */
  client(name: string, ttlSeconds?: number): Promise<TurnClient>
}

let coturn: Hardened
let text: string

async function start(...more: string[]): Promise<Hardened> {
  const directory = await makeDirectory('coturn')
  const port = await freePortBoth()
  const here = ['-L', '127.0.0.1', '-E', '127.0.0.1', '-E', '::1', `--pidfile=${join(directory, 'pid')}`]
  const own = [`--listening-port=${port}`, `--static-auth-secret=${SECRET}`]
  const running: Running = await startServer(COTURN, {
    args: ['-c', CONFIG, ...own, ...here, `--userdb=${join(directory, 'db')}`, ...more],
    directory,
    ready: {
      what: 'coturn with deploy/turnserver.conf',
      probe: () => probeStun('127.0.0.1', port),
      deadlineMs: 10_000,
    },
  })
  const clients: TurnClient[] = []
  return {
    port,
    stop: async () => {
      for (const client of clients) client.close()
      await running.stop()
      await removeDirectory(directory)
    },
    client: async (name, ttlSeconds = 300) => {
      const client = await openTurnClient(port, turnCredentials(SECRET, name, ttlSeconds))
      clients.push(client)
      return client
    },
  }
}

beforeAll(async () => {
  text = await readFile(CONFIG, 'utf8')
  coturn = await start()
})
afterAll(() => coturn.stop())

const setting = (name: string): number => Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(text)?.[1])
const v4 = (address: string): Buffer => Buffer.from(address.split('.').map(Number))
const v6 = (hex: string): Buffer => Buffer.from(hex.replaceAll(':', ''), 'hex')
const mapped = (address: string): Buffer => Buffer.concat([v6('00000000000000000000ffff'), v4(address)])

// We test both ends of each range, so that a mistake in either end is found.
const DENIED_V4 = [
  ['0.0.0.0', '0.255.255.255'],
  ['10.0.0.0', '10.255.255.255'],
  ['100.64.0.0', '100.127.255.255'],
  ['127.0.0.1', '127.255.255.255'],
  ['168.63.129.16', '169.254.169.254'],
  ['169.254.0.0', '169.254.255.255'],
  ['172.16.0.0', '172.31.255.255'],
  ['192.0.0.0', '192.0.0.255'],
  ['192.168.0.0', '192.168.255.255'],
  ['198.18.0.0', '198.19.255.255'],
  ['224.0.0.0', '255.255.255.255'],
]
const DENIED_V6 = [
  ['::', '0000:0000:0000:0000:0000:0000:0000:0000'],
  ['::1', '0000:0000:0000:0000:0000:0000:0000:0001'],
  ['::127.0.0.1', '0000:0000:0000:0000:0000:0000:7f00:0001'],
  ['64:ff9b::a00:1', '0064:ff9b:0000:0000:0000:0000:0a00:0001'],
  ['64:ff9b:1::a00:1', '0064:ff9b:0001:0000:0000:0000:0a00:0001'],
  ['2001:0::1', '2001:0000:0000:0000:0000:0000:0000:0001'],
  ['2002:a00:1::', '2002:0a00:0001:0000:0000:0000:0000:0000'],
  ['fc00::', 'fc00:0000:0000:0000:0000:0000:0000:0000'],
  ['fd00:ec2::254', 'fd00:0ec2:0000:0000:0000:0000:0000:0254'],
  ['fe80::1', 'fe80:0000:0000:0000:0000:0000:0000:0001'],
  ['febf:…:ffff', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['ff02::1', 'ff02:0000:0000:0000:0000:0000:0000:0001'],
] as const

describe('[ASVS 17.1.1] a permission', () => {
  test.each(DENIED_V4)('to %s … %s is refused', async (low, high) => {
    const client = await coturn.client(low)
    expect(await client.allocate()).toBe('granted')
    expect(await client.permit(v4(low))).toBe(403)
    expect(await client.permit(v4(high))).toBe(403)
  })

  test.each(DENIED_V6)('to %s is refused', async (name, hex) => {
    const client = await coturn.client(name)
    expect(await client.allocate('v6')).toBe('granted')
    expect(await client.permit(v6(hex))).toBe(403)
  })

  test.each(DENIED_V4)('to %s … %s in mapped form is refused', async (low, high) => {
    const client = await coturn.client(`mapped-${low}`)
    expect(await client.allocate('v6')).toBe('granted')
    expect(await client.permit(mapped(low))).toBe(403)
    expect(await client.permit(mapped(high))).toBe(403)
  })

  test('to addresses next to those ranges is granted', async () => {
    const client = await coturn.client('beside')
    expect(await client.allocate()).toBe('granted')
    for (const address of ['1.1.1.1', '9.255.255.255', '11.0.0.0', '172.15.0.1', '172.32.0.0', '203.0.113.7'])
      expect(await client.permit(v4(address))).toBe('granted')
    const other = await coturn.client('beside-6')
    expect(await other.allocate('v6')).toBe('granted')
    expect(await other.permit(v6('2a00:0000:0000:0000:0000:0000:0000:0001'))).toBe('granted')
  })
})

test('credentials that have expired, or that another secret signed, are refused', async () => {
  // coturn's clock ticks once a second.
  expect(await (await coturn.client('late', -10)).allocate()).toBe(401)
  const forged = await openTurnClient(coturn.port, turnCredentials('south', 'mallory', 300))
  onTestFinished(() => forged.close())
  expect(await forged.allocate()).toBe(401)
})

test('[ASVS 17.1.2] a peer over its quota is refused, whatever the expiry in its username; another peer is not', async () => {
  const most = setting('user-quota')
  for (let i = 0; i < most; i++)
    expect(await (await coturn.client('default/greedy', 300 + i)).allocate()).toBe('granted')
  expect(await (await coturn.client('default/greedy', 900)).allocate()).toBe(486)
  expect(await (await coturn.client('default/modest')).allocate()).toBe('granted')
})

test('over the total quota, everyone is refused', async () => {
  // The shipped number is too large to reach in a test.
  const small = await start('--total-quota=3')
  onTestFinished(() => small.stop())
  expect(setting('total-quota')).toBeGreaterThan(setting('user-quota'))
  for (let i = 0; i < 3; i++) expect(await (await small.client(`peer-${i}`)).allocate()).toBe('granted')
  expect(await (await small.client('one-more')).allocate()).toBe(486)
})

test('there is no remote console, and no secret in the file', () => {
  expect(text).toMatch(/^no-cli$/m)
  expect(text).not.toMatch(/^static-auth-secret/m)
})
