import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { mintNodeId } from '@peerage/core'
import { memoryCluster } from '@peerage/core/memory'
import { encodeAnnouncement } from '@peerage/node-links'
import { afterEach, describe, expect, test } from 'vitest'
import { configSchema } from '../config/schema.js'
import { checkLinks } from './doctor-links.js'

// Links with TLS, and nodes that are processes of their own, are in test/cluster/doctor.test.ts.

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listening(): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).resume())
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function closedPort(): Promise<number> {
  const port = await listening()
  const server = servers.pop()
  server?.close()
  if (server?.listening) await once(server, 'close')
  return port
}

const told = (port: number): string =>
  encodeAnnouncement({
    address: { host: '127.0.0.1', port },
    proof: { type: 'token', token: 'x'.repeat(22) },
  })

/** What doctor finds when live nodes announce these texts. Undefined: a node announces nothing. */
async function found(
  announced: readonly (string | undefined)[],
  {
    host = '127.0.0.1',
    plain = true,
    ...own
  }: { host?: string | null; plain?: boolean; advertise?: string; localAddress?: string } = {},
) {
  const cluster = memoryCluster()
  for (const text of announced) {
    const backend = cluster.backend()
    backend.identify(mintNodeId())
    await backend.nodes.beat()
    if (text !== undefined) await backend.nodes.announce(text)
  }
  const config = configSchema.parse({ links: { host, plain, advertise: own.advertise } })
  const findings = await checkLinks(config, cluster.backend().nodes, own.localAddress)
  return findings.map(({ verdict, subject, text }) => `${verdict} ${subject}: ${text}`)
}

const ID_LINE = 'ok links: the id of a node is the field `node` in each line of its own log'

describe('links to the other nodes', () => {
  test('that are off: doctor says so, and how many other nodes have them on', async () => {
    expect(await found([undefined], { host: null })).toEqual([
      expect.stringMatching(/^ok links: off: .*with links\.host they go directly$/),
    ])
    expect(await found([told(1), undefined], { host: null })).toEqual([
      expect.stringMatching(/^warn links: off: .*; 1 other live node has them on$/),
    ])
    expect(await found([told(1), told(2)], { host: null })).toEqual([
      expect.stringMatching(/^warn links: off: .*; 2 other live nodes have them on$/),
    ])
  })

  const useless = (address: string): unknown =>
    expect.stringMatching(
      `^warn links: this node announces ${address}, which only this machine can reach: set links\\.advertise`,
    )
  test.each([
    ['the address from which it reaches Redis', { host: '0.0.0.0', localAddress: '127.0.0.1' }, '127.0.0.1'],
    ['the address that is set', { host: '10.0.0.1', advertise: '[::1]:9200' }, '::1'],
  ])('do not work when %s is loopback', async (_, settings, address) => {
    expect(await found([], settings)).toEqual([expect.stringMatching(/^ok links: on/), useless(address)])
  })

  test.each([
    { host: '127.0.0.1', advertise: '127.0.0.1:1' },
    { host: '0.0.0.0', localAddress: '10.0.0.7' },
    { host: '0.0.0.0', localAddress: '127.0.0.1', advertise: '10.0.0.7:1' },
    { host: '::' },
  ])('work with %j', async (settings) => {
    expect(await found([], settings)).toHaveLength(1)
  })

  test('doctor names another node that announces loopback, which only its own machine reaches', async () => {
    const [line] = await found([told(await listening())], { host: '10.0.0.1' })
    expect(line).toMatch(
      /^warn links: node \S{8} announces 127\.0\.0\.1:\d+, which only its own machine can reach\. Set its links\.advertise/,
    )
  })

  test('no other node is live', async () => {
    expect(await found([])).toEqual([expect.stringMatching(/^ok links: on; no other node is live/)])
  })

  test('doctor counts the nodes that it can reach, with their addresses', async () => {
    const ports = [await listening(), await listening()]
    const [line, ...more] = await found(ports.map(told))
    expect(more).toEqual([])
    expect(line).toMatch(/^ok links: 2 of 2 live nodes can be reached: /)
    for (const port of ports) expect(line).toContain(`127.0.0.1:${port}`)
  })

  test('doctor names a node that it cannot reach, with what to do, and still tries the others', async () => {
    const [open, closed] = [await listening(), await closedPort()]
    expect(await found([told(closed), told(open)])).toEqual([
      `ok links: 1 of 2 live nodes can be reached: 127.0.0.1:${open}`,
      expect.stringMatching(
        new RegExp(
          `^warn links: node \\S{8} at 127\\.0\\.0\\.1:${closed}: .*ECONNREFUSED.*through Redis.*links\\.advertise\\. .*up to 12 s after \\(times\\.nodeLeaseMs\\)$`,
        ),
      ),
      ID_LINE,
    ])
  })

  test('doctor tells nodes without links from nodes whose announcement it does not understand', async () => {
    expect(await found([undefined, '{}'])).toEqual([
      expect.stringMatching(
        /^warn links: 1 of 2 live nodes have links off: set links\.host there, too \([\w-]{8}\)$/,
      ),
      expect.stringMatching(
        /^warn links: node \S{8} announces something that this version does not understand/,
      ),
      ID_LINE,
    ])
  })

  test('a node without TLS has no link to one with it', async () => {
    expect(await found([told(await listening())], { plain: false })).toEqual([
      expect.stringMatching(/^warn links: node \S{8} has links without TLS, .*Set links\.plain to the same/),
      ID_LINE,
    ])
  })

  test('of a whole cluster that is out of reach, doctor names a few nodes and counts the others', async () => {
    const lines = await found(Array.from({ length: 12 }, () => 'x'))
    expect(lines).toHaveLength(10)
    expect(lines.at(-2)).toBe('warn links: and 4 more nodes')
  })
})
