import { writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect, type ConnectOptions, type P2P, type Peer } from '@peerage/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { probeStun } from '@peerage/test-support/coturn.js'
import { PEERAGE_BIN, startNode, type Node } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { freePortBoth } from '@peerage/test-support/ports.js'
import { startChild, type Child } from '@peerage/test-support/process.js'

// The three ways to deploy the P2P server (our STUN server), with real processes, and how a peer's own setting changes
// them. A P2P server knows no names, so there is no Redis here.

const DEADLINE_MS = 20_000

async function nodeWith(...args: string[]): Promise<Node> {
  const node = await startNode({ args })
  onTestFinished(() => node.stop())
  return node
}

async function peerOf(node: Node, name: string, options: ConnectOptions = {}): Promise<Peer> {
  const peer = await connect(node.url, { name, storage: null, ...options })
  onTestFinished(() => peer.leave())
  return peer
}

function controller(peer: Peer): P2P {
  if (peer.p2p === null) throw new Error(`${peer.name} has no P2P controller`)
  return peer.p2p
}

async function expectChannel(from: Peer, to: Peer): Promise<void> {
  const heard = new Promise((resolve) =>
    controller(to).on('channel-opened', (channel) => channel.on('message', resolve)),
  )
  const channel = await controller(from).connect(to.name)
  await channel.send('hello')
  expect(await heard).toBe('hello')
}

interface Standalone {
  child: Child
  address: string
}

/** Runs `peerage stun` with this configuration file. */
async function standalone(file: string): Promise<Standalone> {
  const directory = await makeDirectory('stun')
  const config = join(directory, 'stun.yaml')
  await writeFile(config, file)
  const child = await startChild({
    command: process.execPath,
    args: [PEERAGE_BIN, 'stun', '--config', config],
  })
  onTestFinished(async () => {
    await child.stop()
    await removeDirectory(directory)
  })
  const ready = await child.line((line) => recordOf(line, 'ready'), DEADLINE_MS)
  return { child, address: String(ready['url']).replace(/^stun:/, '') }
}

/** Sends a Binding request (RFC 8489 §5) and returns the first bytes of the response. */
function askOverTcp(port: number): Promise<Buffer> {
  const request = Buffer.from('000100002112a442000102030405060708090a0b', 'hex')
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(request))
    socket.once('data', (answer: Buffer) => {
      resolve(answer)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

function recordOf(line: string, msg: string): Record<string, unknown> | undefined {
  const record: Record<string, unknown> = line.startsWith('{') ? JSON.parse(line) : {}
  return record['msg'] === msg ? record : undefined
}

describe('integrated', () => {
  test('serve answers STUN on UDP at TCP port + 1, and the welcome names this port', async () => {
    const node = await nodeWith()
    expect(node.p2p?.port).toBe(node.port + 1)
    await expect(probeStun('127.0.0.1', node.port + 1)).resolves.toBe(true)
    const [alice, bob] = [await peerOf(node, 'alice'), await peerOf(node, 'bob')]
    expect(controller(alice).p2pServer).toBe(`127.0.0.1:${node.port + 1}`)
    await expectChannel(alice, bob)
  })

  test('peers are told the address of --p2p-advertise, and the node still answers STUN at its port', async () => {
    const node = await nodeWith('--p2p-advertise', 'stun.example.org:3478')
    expect(controller(await peerOf(node, 'alice')).p2pServer).toBe('stun.example.org:3478')
    await expect(probeStun('127.0.0.1', node.port + 1)).resolves.toBe(true)
  })
})

describe('standalone', () => {
  test('its port is 9901, unless its configuration file sets another', async () => {
    // A loopback address that no other test uses.
    const { address } = await standalone('host: [127.99.0.1]\n')
    expect(address).toBe('127.99.0.1:9901')
    const port = await freePortBoth()
    const other = await standalone(`host: [127.0.0.1]\nport: ${port}\n`)
    expect(other.address).toBe(`127.0.0.1:${port}`)
    await expect(probeStun('127.0.0.1', port)).resolves.toBe(true)
  })

  test('answers over TCP too, unlike the integrated P2P server', async () => {
    const { address } = await standalone('host: [127.0.0.1]\nport: 0\n')
    const answer = await askOverTcp(Number(address.split(':')[1]))
    expect(answer.readUInt16BE(0)).toBe(0x0101)
    const node = await nodeWith()
    await expect(askOverTcp(node.port + 1)).rejects.toThrow('ECONNREFUSED')
  })

  test('nodes of several clusters share one P2P server, and their peers use it', async () => {
    const { address, child } = await standalone('host: [127.0.0.1]\nport: 0\n')
    const args = ['--use-as-p2p-server', 'false', '--p2p-server', address]
    const clusters = await Promise.all([nodeWith(...args), nodeWith(...args)])
    for (const node of clusters) {
      expect(node.p2p).toBeUndefined()
      const [alice, bob] = [await peerOf(node, 'alice'), await peerOf(node, 'bob')]
      expect(controller(alice).p2pServer).toBe(address)
      await expectChannel(alice, bob)
    }
    await child.kill('SIGTERM')
    const counters = await child.line((line) => recordOf(line, 'stopped'), DEADLINE_MS)
    // Two clusters of two peers, and each peer has at least one socket.
    expect(Number(counters['answered'])).toBeGreaterThanOrEqual(4)
  })

  test('is preferred to the integrated P2P server', async () => {
    const node = await nodeWith('--p2p-server', 'stun.example.org:9901')
    expect(controller(await peerOf(node, 'alice')).p2pServer).toBe('stun.example.org:9901')
  })
})

describe('disabled', () => {
  test('there is no UDP port, the controller is null, and messages go through the server', async () => {
    const node = await nodeWith('--use-as-p2p-server', 'false')
    expect(node.p2p).toBeUndefined()
    await expect(probeStun('127.0.0.1', node.port + 1)).rejects.toThrow('no answer')
    const [alice, bob] = [await peerOf(node, 'alice'), await peerOf(node, 'bob', { p2pServer: null })]
    expect(alice.p2p).toBeNull()
    expect(bob.p2p).toBeNull()
    const heard = new Promise((resolve) => bob.on('message', (from, data) => resolve([from, data])))
    await alice.send('bob', { hello: 'bob' })
    expect(await heard).toEqual(['alice', { hello: 'bob' }])
    await expect(alice.send('bob', 'direct or not at all', { via: 'p2p-only' })).rejects.toMatchObject({
      code: 'unavailable',
    })
  })

  test('a call to a peer without P2P fails with no-answer', async () => {
    const node = await nodeWith()
    const alice = await peerOf(node, 'alice')
    await peerOf(node, 'bob', { p2p: false })
    await expect(controller(alice).connect('bob')).rejects.toMatchObject({ stage: 'no-answer' })
  })
})

describe("the peer's own setting", () => {
  let integrated: Node
  let disabled: Node
  beforeAll(async () => {
    ;[integrated, disabled] = await Promise.all([
      startNode(),
      startNode({ args: ['--use-as-p2p-server', 'false'] }),
    ])
  })
  afterAll(() => Promise.all([integrated.stop(), disabled.stop()]))

  const another = 'other.example.org:9901'
  const own = (): string => `127.0.0.1:${integrated.port + 1}`
  const cases: [string, string, () => Node, () => ConnectOptions, () => string | null][] = [
    ['integrated', 'undefined', () => integrated, () => ({}), own],
    ['integrated', 'null', () => integrated, () => ({ p2pServer: null }), own],
    ['integrated', 'the same address', () => integrated, () => ({ p2pServer: own() }), own],
    ['integrated', 'another address', () => integrated, () => ({ p2pServer: another }), () => another],
    ['integrated', 'p2p: false', () => integrated, () => ({ p2p: false }), () => null],
    [
      'integrated',
      'p2p: false with another address',
      () => integrated,
      () => ({ p2p: false, p2pServer: another }),
      () => null,
    ],
    ['disabled', 'undefined', () => disabled, () => ({}), () => null],
    ['disabled', 'null', () => disabled, () => ({ p2pServer: null }), () => null],
    ['disabled', 'another address', () => disabled, () => ({ p2pServer: another }), () => another],
    ['disabled', 'p2p: false', () => disabled, () => ({ p2p: false }), () => null],
  ]
  test.each(cases)('server %s, p2pServer %s', async (_server, _setting, node, options, expected) => {
    const peer = await peerOf(node(), 'alice', options())
    expect(peer.p2p?.p2pServer ?? null).toBe(expected())
    expect(peer.p2p === null).toBe(expected() === null)
  })

  test('that is not host:port is refused before the peer connects', async () => {
    for (const p2pServer of ['', 'stun.example.org', 'stun:stun.example.org:9901', 'host:port', 'a b:1'])
      await expect(connect(integrated.url, { p2pServer })).rejects.toThrow('p2pServer must be host:port')
  })

  test('cannot be changed after connecting, and the error says so', async () => {
    const p2p = controller(await peerOf(integrated, 'alice'))
    expect(() => (p2p.p2pServer = another)).toThrow('p2pServer cannot be changed after connecting')
    expect(p2p.p2pServer).toBe(own())
  })
})
