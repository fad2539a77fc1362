import { createSocket, type Socket } from 'node:dgram'
import { connect, type Peer } from '@peerage/client'
import { formatIceUrl, parseIceUrl } from '@peerage/protocol'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startCoturn } from '@peerage/test-support/coturn.js'
import { startNode, type NodeOptions } from '@peerage/test-support/node.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'

// The ICE servers that a node announces, in real connections: each form of URL works, or at least does no harm.

async function peersOf(options: NodeOptions): Promise<[Peer, Peer]> {
  const node = await startNode(options)
  onTestFinished(() => node.stop())
  const made = ['alice', 'bob'].map((name) => connect(node.url, { name, storage: null }))
  const [alice, bob] = await Promise.all(made)
  if (!alice || !bob) throw new Error('unreachable')
  onTestFinished(async () => void (await Promise.all([alice.leave(), bob.leave()])))
  return [alice, bob]
}

async function expectChannel(from: Peer, to: Peer): Promise<void> {
  const heard = new Promise((resolve) =>
    to.p2p?.on('channel-opened', (channel) => channel.on('message', resolve)),
  )
  const channel = await from.p2p?.connect(to.name)
  await channel?.send('hello')
  expect(await heard).toBe('hello')
}

const turn = (urls: string): NodeOptions => ({
  args: ['--p2p-turn-urls', urls],
  env: { PEERAGE_P2P_TURN_SECRET: 'north' },
})

describe('[PP28] two Node peers open a channel', () => {
  test.each([
    'turns:127.0.0.1:5349',
    'turns:[::1]:5349?transport=tcp,turn:127.0.0.1:3478?transport=tcp',
    'TURN:127.0.0.1:9,turn:[::1]:9,turn:no-such-host.invalid',
  ])('with %s for TURN', async (urls) => {
    await expectChannel(...(await peersOf(turn(urls))))
  })

  test('on a node that they reach as http://[::1]:…, whose P2P server is asked at that address', async () => {
    const [alice, bob] = await peersOf({ args: ['--host', '::1'] })
    expect(alice.p2p?.p2pServer).toMatch(/^\[::1\]:\d+$/)
    await expectChannel(alice, bob)
    expect(await bob.p2p?.diagnose({ timeoutMs: 2_000 })).toMatchObject({
      stun: { server: `stun:${alice.p2p?.p2pServer}`, answers: true },
    })
  })
})

test('[PP28] node-datachannel asks a STUN server at an IPv6 address', async () => {
  const socket: Socket = createSocket('udp6')
  onTestFinished(() => void socket.close())
  const asked = new Promise<number>((resolve) =>
    socket.on('message', (request) => resolve(request.readUInt16BE(0))),
  )
  await new Promise<void>((resolve) => socket.bind(0, '::1', resolve))
  const p2pServer = `[::1]:${socket.address().port}`
  const node = await startNode()
  onTestFinished(() => node.stop())
  const peer = await connect(node.url, { storage: null, p2pServer })
  onTestFinished(() => peer.leave())
  await peer.p2p?.diagnose({ timeoutMs: 1_000 })
  // A Binding request (RFC 8489 §5).
  expect(await asked).toBe(0x0001)
})

test.each(['127.0.0.1', '::1'])('[PP28] node-datachannel gets a relay from TURN at %s', async (host) => {
  // libjuice requests a relayed address of IPv4, whatever the server's own address is (RFC 8656 §18.8).
  const coturn = await startCoturn({ secret: 'north', hosts: ['127.0.0.1', '::1'] })
  onTestFinished(() => coturn.stop())
  const at = host.includes(':') ? `[${host}]` : host
  const [alice] = await peersOf(turn(`TURN:${at}:${coturn.port}?transport=UDP,turns:${at}:${coturn.port}`))
  expect(await alice.p2p?.diagnose({ timeoutMs: 5_000 })).toMatchObject({ turn: { answers: true } })
})

describe('[PP28] Chromium', () => {
  let chromium: ChromiumBrowser
  beforeAll(async () => {
    chromium = await launchChromium()
  })
  afterAll(() => chromium?.stop())

  test('accepts what the parser writes, and nothing that the parser refuses', async () => {
    const texts = [
      'stun:a.example',
      'STUN:a.example:1',
      'stun:[::1]:9001',
      'stun:[2001:DB8::1]',
      ' stun:a.example',
      'stun:bücher.example',
      'stun:coturn_1:1',
      'stuns:a.example',
      'turn:a.example',
      'TURNS:A.example',
      'turn:192.0.2.1:80?transport=tcp',
      'turn:a.example?transport=UDP',
      'turn:a.example?Transport=udp',
      'turns:[::1]:443?transport=tcp',
      'turns:a.example?transport=udp',
      'stun:a%2eexample',
    ]
    const refused = [
      '',
      'http://a',
      'stun:',
      'stun://a',
      'turn://a:1',
      'turn:u@a',
      'stun:a/path',
      'stun:a#f',
      'stun:a b',
      'stun:a:',
      'stun:a:0',
      'stun:a:65536',
      'stun:a:+1',
      'stun:a?transport=udp',
      'turn:a?',
      'turn:a?x=y',
      'turn:a?transport=tls',
      'turn:a?transport=udp&x=y',
      'stun:2001:db8::1',
      'stun:1:2:3',
    ]
    const page = await chromium.page()
    const take = (urls: string[]): Promise<string[]> =>
      page.evaluate(
        (all) =>
          all.filter((url) => {
            try {
              new RTCPeerConnection({ iceServers: [{ urls: url, username: 'u', credential: 'c' }] }).close()
              return true
            } catch {
              return false
            }
          }),
        urls,
      )
    const written = texts.map(parseIceUrl).map((read) => (read.ok ? formatIceUrl(read.value) : read.problem))
    expect(await take(written)).toEqual(written)
    expect(await take(refused)).toEqual([])
    expect(refused.filter((url) => parseIceUrl(url).ok)).toEqual([])
  })

  test('opens a channel with a Node peer on a node at http://[::1]:… with TURN of every kind', async () => {
    const urls = ['turn:[::1]:9', 'turn:127.0.0.1:9?transport=tcp', 'turns:localhost:9', 'TURN:LOCALHOST:9']
    const { args = [], env } = turn(urls.join())
    const node = await startNode({ args: ['--host', '::1', ...args], ...(env ? { env } : {}) })
    onTestFinished(() => node.stop())
    const peer = await connect(node.url, { name: 'node', storage: null })
    onTestFinished(() => peer.leave())
    const heard = new Promise((resolve) =>
      peer.p2p?.on('channel-opened', (channel) => channel.on('message', resolve)),
    )
    const page = await chromium.page(`${node.url}/healthz`)
    await page.addScriptTag({ content: await sdkScript() })
    await page.evaluate(`(async () => {
      const peer = await sdk.connect(location.origin, { name: 'page' })
      const channel = await peer.p2p.connect('node')
      await channel.send('hello')
    })()`)
    expect(await heard).toBe('hello')
  })
})
