import { connect, type Peer } from '@peerage/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ensureBuilt, PEERAGE_BIN, REPOSITORY } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { eventually, startChild, type Child } from '@peerage/test-support/process.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

// Runs the programs of examples/app-servers as their README says.

const DEADLINE_MS = 20_000
const EXAMPLE = `${REPOSITORY}examples/app-servers/`

interface Program {
  child: Child
  url: string
  port: number
}

let redis: Deployment
let stun: Program
let express: Program
let plain: Program
let pointing: Program

async function start(args: string[]): Promise<Program> {
  const child = await startChild({ command: process.execPath, args })
  const port = await child.line(readyPort, DEADLINE_MS)
  return { child, port, url: `http://127.0.0.1:${port}` }
}

function server(file: string, ...more: string[]): Promise<Program> {
  const shared = ['--redis', redis.url, '--p2p-server', `127.0.0.1:${stun.port}`]
  return start([`${EXAMPLE}${file}`, '--port', '0', ...shared, ...more])
}

function readyPort(line: string): number | undefined {
  const record: Record<string, unknown> = line.startsWith('{') ? JSON.parse(line) : {}
  return record['msg'] === 'ready' && typeof record['port'] === 'number' ? record['port'] : undefined
}

async function peerAt(url: string, name: string): Promise<Peer> {
  const peer = await connect(url, { name, storage: null })
  onTestFinished(() => peer.leave())
  return peer
}

async function expectChannel(from: Peer, to: Peer): Promise<void> {
  const heard = new Promise((resolve) =>
    to.p2p?.on('channel-opened', (channel) => channel.on('message', resolve)),
  )
  const channel = await from.p2p?.connect(to.name)
  expect(await channel?.info()).toMatchObject({ path: 'direct' })
  await channel?.send(`from ${from.name}`)
  expect(await heard).toBe(`from ${from.name}`)
}

async function expectMessage(from: Peer, to: Peer): Promise<void> {
  const heard = new Promise((resolve) => to.once('message', (sender, data) => resolve([sender, data])))
  await from.send(to.name, 'hello', { via: 'server' })
  expect(await heard).toEqual([from.name, 'hello'])
}

describe.each(topologies)('application servers that share a Redis and a P2P server, %s', (topology) => {
  beforeAll(async () => {
    redis = await startTopology(topology)
    // The example imports the built packages, as an installed application does.
    await ensureBuilt()
    stun = await start([PEERAGE_BIN, 'stun', '--port', '0', '--host', '127.0.0.1'])
    ;[express, plain] = await Promise.all([server('express-server.mjs'), server('plain-server.mjs')])
    pointing = await server('pointing-server.mjs', '--tier', plain.url)
  })
  afterAll(async () => {
    const programs = [pointing, express, plain, stun]
    await Promise.all(programs.map((program) => program?.child.stop()))
    await redis?.stop()
  })

  test('their peers open channels to each other with the shared P2P server', async () => {
    const told = (await (await fetch(pointing.url)).json()) as { peerage: string }
    const peers = [
      await peerAt(express.url, 'alice'),
      await peerAt(plain.url, 'bob'),
      await peerAt(told.peerage, 'carol'),
    ]
    for (const peer of peers) expect(peer.p2p?.p2pServer).toBe(`127.0.0.1:${stun.port}`)
    for (const [i, from] of peers.entries())
      for (const to of peers.slice(i + 1)) await expectChannel(from, to)
  })

  test('the routes of the applications work beside Peerage', async () => {
    expect(await (await fetch(`${express.url}/orders`)).json()).toEqual([{ id: 1, item: 'tea' }])
    expect((await fetch(`${express.url}/nowhere`)).status).toBe(404)
    expect(await (await fetch(plain.url)).text()).toBe('stock: 7 cups\n')
  })

  test('each log line names its node', async () => {
    for (const { child } of [express, plain]) {
      const health = await child.line(
        (line) => (line.includes('"msg":"health"') ? line : undefined),
        DEADLINE_MS,
      )
      expect(JSON.parse(health)).toMatchObject({ node: expect.stringMatching(/^[\w-]{8}$/) })
    }
  })

  test('the peer program of the README connects through a server that gives out the address of another', async () => {
    const alice = await startChild({
      command: process.execPath,
      args: [`${EXAMPLE}peer.mjs`, 'readme-alice', express.url],
    })
    onTestFinished(() => alice.stop())
    await alice.line((line) => (line.includes('is online') ? true : undefined), DEADLINE_MS)
    const bob = await startChild({
      command: process.execPath,
      args: [`${EXAMPLE}peer.mjs`, 'readme-bob', pointing.url, 'readme-alice'],
    })
    onTestFinished(() => bob.stop())
    await bob.line((line) => (line === 'channel to readme-alice: direct' ? true : undefined), DEADLINE_MS)
    const heard = 'readme-bob, directly: hello, this is readme-bob'
    await alice.line((line) => (line === heard ? true : undefined), DEADLINE_MS)
  })

  test('a server joins, drains, comes back and is killed while the others go on', async () => {
    const [alice, bob] = [await peerAt(express.url, 'ann'), await peerAt(plain.url, 'ben')]
    await expectChannel(alice, bob)

    const port = await freePort()
    const more = (): Promise<Program> => server('plain-server.mjs', '--port', String(port))
    const joined = await more()
    onTestFinished(() => joined.child.stop())
    const dora = await peerAt(joined.url, 'dora')
    await expectChannel(dora, alice)
    await expectMessage(bob, dora)

    // Dora's channel stays open after her server has stopped, and her name stays reserved for her.
    await joined.child.kill('SIGTERM')
    expect(await joined.child.stopped).toMatchObject({ code: 0 })
    const heard = new Promise((resolve) => alice.p2p?.channel('dora')?.on('message', resolve))
    await dora.p2p?.channel('ann')?.send('still here')
    expect(await heard).toBe('still here')
    const { since } = dora
    const again = await more()
    onTestFinished(() => again.child.stop())
    await eventually('dora is back', () => Promise.resolve(dora.state.state === 'online' || undefined), {
      deadlineMs: DEADLINE_MS,
    })
    expect(dora.since).toBe(since)
    await expectMessage(bob, dora)

    await again.child.kill('SIGKILL')
    await again.child.stopped
    await expectMessage(alice, bob)
    await expectMessage(bob, alice)
  })
})
