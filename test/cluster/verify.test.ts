import { createHmac } from 'node:crypto'
import { createRequire } from 'node:module'
import {
  connect,
  type Channel,
  type ConnectError,
  type ConnectionEnd,
  type P2P,
  type P2POptions,
  type Peer,
  type Verify,
} from '@peerage/client'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { launchChromium } from '@peerage/test-support/chromium.js'
import { launchFirefox } from '@peerage/test-support/firefox.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, type Deployment } from '@peerage/test-support/redis-topologies.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'
import { Eavesdropper, startDishonestNode, type Change } from './dishonest-node.js'

// Two peers prove to each other who they are, on two real nodes, of which one may cheat.

let redis: Deployment
let one: Node
let other: Node
let made = 0

beforeAll(async () => {
  redis = await startTopology('standalone')
  const [first, second] = await startNodes(2, { redisUrl: redis.url })
  if (first === undefined || second === undefined) throw new Error('two nodes were started')
  ;[one, other] = [first, second]
})
afterAll(async () => {
  await Promise.all([one?.stop(), other?.stop()])
  await redis?.stop()
})

interface Call {
  local: ConnectionEnd
  remote: ConnectionEnd
  isCaller: boolean
  handshake: string
}

/** Verifies by a keyed hash over both ends, and keeps what it was called with. */
function bySecret(secret: string): { verify: Verify; calls: Call[] } {
  const calls: Call[] = []
  const tagOf = (from: ConnectionEnd, to: ConnectionEnd): Uint8Array<ArrayBuffer> =>
    new Uint8Array(
      createHmac('sha256', secret)
        .update(JSON.stringify([from, to]))
        .digest(),
    )
  const verify: Verify = async (local, remote, line) => {
    calls.push({ local, remote, isCaller: line.isCaller, handshake: line.handshake })
    line.send(tagOf(local, remote))
    return Buffer.from(tagOf(remote, local)).equals(await line.receive())
  }
  return { verify, calls }
}

interface Controlled {
  peer: Peer
  p2p: P2P
  /** The channels that opened, and the messages that came over them. */
  channels: Channel[]
  messages: unknown[]
}

async function peerAt(url: string, role: string, options: P2POptions): Promise<Controlled> {
  const peer = await connect(url, { name: `${role}-${++made}`, storage: null, p2p: options })
  onTestFinished(() => peer.leave())
  if (peer.p2p === null) throw new Error(`${peer.name} has no P2P controller`)
  const channels: Channel[] = []
  const messages: unknown[] = []
  peer.p2p.on('channel-opened', (channel) => {
    channels.push(channel)
    channel.on('message', (message) => messages.push(message))
  })
  return { peer, p2p: peer.p2p, channels, messages }
}

const failure = (call: Promise<unknown>): Promise<ConnectError> =>
  call.then(
    () => Promise.reject(new Error('it was fulfilled')),
    (error: ConnectError) => error,
  )

function expectCrosswise(ours: Call | undefined, theirs: Call | undefined): void {
  expect(ours?.local.fingerprint).toMatch(/^[\da-f]{64}$/)
  expect(theirs?.local).toEqual(ours?.remote)
  expect(theirs?.remote).toEqual(ours?.local)
  expect(theirs?.handshake).toBe(ours?.handshake)
  expect(theirs?.isCaller).toBe(!ours?.isCaller)
}

test('[PP43] verify sees the true names, the same handshake, and the fingerprints crosswise', async () => {
  const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
  const alice = await peerAt(one.url, 'alice', { verify: ours.verify })
  const bob = await peerAt(other.url, 'bob', { verify: theirs.verify })
  const channel = await alice.p2p.connect(bob.peer.name)
  await channel.send('hello')
  await expect.poll(() => bob.messages).toEqual(['hello'])
  expect(channel.messageBytesMax).toBeGreaterThanOrEqual(65_536)
  await expect.poll(() => channel.bufferedAmount).toBe(0)
  const call = ours.calls.at(-1)
  expect(call).toMatchObject({ local: { name: alice.peer.name }, remote: { name: bob.peer.name } })
  expectCrosswise(call, theirs.calls.at(-1))
})

test.each([
  ['the caller', async () => false, bySecret('secret').verify],
  ['the callee', bySecret('secret').verify, async () => false],
] satisfies [string, Verify, Verify][])(
  '[PP44] both sides fail as not-verified when %s says no, and no message is delivered',
  async (_, ours, theirs) => {
    const alice = await peerAt(one.url, 'alice', { verify: ours })
    const bob = await peerAt(other.url, 'bob', { verify: theirs })
    const errors = await Promise.all([
      failure(alice.p2p.connect(bob.peer.name, { deadlineMs: 60_000 })),
      failure(bob.p2p.connect(alice.peer.name, { deadlineMs: 60_000 })),
    ])
    for (const error of errors) expect(error).toMatchObject({ name: 'ConnectError', stage: 'not-verified' })
    expect([alice, bob].flatMap(({ channels, messages }) => [...channels, ...messages])).toEqual([])
  },
)

test('[PP44] the side with `verify` fails when the other side has none, and gets no message', async () => {
  const alice = await peerAt(one.url, 'alice', { verify: bySecret('secret').verify })
  const bob = await peerAt(other.url, 'bob', {})
  const ended = new Promise((resolve) =>
    bob.p2p.on('channel-opened', (channel) => {
      channel.on('close', resolve)
      void channel.send('not for you').catch(() => undefined)
    }),
  )
  const call = failure(alice.p2p.connect(bob.peer.name, { deadlineMs: 60_000 }))
  expect(await call).toMatchObject({ stage: 'not-verified' })
  expect(await ended).toMatch(/verif/)
  expect([...alice.channels, ...alice.messages]).toEqual([])
})

test('[PP43] [PP7] both call at once: one channel opens, verified once on each side', async () => {
  const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
  const alice = await peerAt(one.url, 'alice', { verify: ours.verify })
  const bob = await peerAt(other.url, 'bob', { verify: theirs.verify })
  const [here] = await Promise.all([alice.p2p.connect(bob.peer.name), bob.p2p.connect(alice.peer.name)])
  await here.send('hello')
  await expect.poll(() => bob.messages).toEqual(['hello'])
  expect([alice.channels.length, bob.channels.length]).toEqual([1, 1])
  const last = ours.calls.at(-1)
  expectCrosswise(last, theirs.calls.at(-1))
  for (const { calls } of [ours, theirs])
    expect(calls.filter(({ handshake }) => handshake === last?.handshake)).toHaveLength(1)
})

test('[PP43] [PP13] a lost channel is verified anew when it is reopened', async () => {
  const made: RTCPeerConnection[] = []
  class Kept extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super(configuration)
      made.push(this)
    }
  }
  const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
  const alice = await peerAt(one.url, 'alice', { verify: ours.verify, RTCPeerConnection: Kept })
  const bob = await peerAt(other.url, 'bob', { verify: theirs.verify })
  await alice.p2p.connect(bob.peer.name)
  await expect.poll(() => bob.channels).toHaveLength(1)
  const before = ours.calls.at(-1)
  for (const connection of made.splice(0)) connection.close()
  await expect.poll(() => [alice.channels.length, bob.channels.length]).toEqual([2, 2])
  const after = ours.calls.at(-1)
  expectCrosswise(after, theirs.calls.at(-1))
  expect(after?.handshake).not.toBe(before?.handshake)
  expect(after?.remote.fingerprint).not.toBe(before?.remote.fingerprint)
  await alice.channels.at(-1)?.send('again')
  await expect.poll(() => bob.messages).toEqual(['again'])
})

describe('a dishonest node', () => {
  async function pair(change: Change, ours?: Verify, theirs = ours): Promise<[Controlled, Controlled]> {
    const cheat = await startDishonestNode(one.url, change)
    onTestFinished(() => cheat.stop())
    const alice = await peerAt(cheat.url, 'alice', { verify: ours })
    return [alice, await peerAt(other.url, 'bob', { verify: theirs })]
  }

  test('that stands in the middle reads everything when nobody verifies', async () => {
    const middle = new Eavesdropper()
    onTestFinished(() => middle.close())
    const [alice, bob] = await pair(middle.change)
    const channel = await alice.p2p.connect(bob.peer.name)
    await channel.send('between us')
    await expect.poll(() => bob.messages).toEqual(['between us'])
    expect(middle.heard).toContain('between us')
  })

  test('[PP44] that stands in the middle is detected by a keyed hash over the fingerprints', async () => {
    const middle = new Eavesdropper()
    onTestFinished(() => middle.close())
    const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
    const [alice, bob] = await pair(middle.change, ours.verify, theirs.verify)
    const call = failure(alice.p2p.connect(bob.peer.name, { deadlineMs: 60_000 }))
    expect(await call).toMatchObject({ stage: 'not-verified' })
    expect([alice, bob].flatMap(({ channels, messages }) => [...channels, ...messages])).toEqual([])
    // It did pass on what the two sides said to each other.
    expect(middle.heard.some((frame) => frame.includes('"verify"'))).toBe(true)
    expect(ours.calls.at(-1)?.remote.name).toBe(bob.peer.name)
    expect(ours.calls.at(-1)?.remote.fingerprint).not.toBe(theirs.calls.at(-1)?.local.fingerprint)
  })

  test('[PP41] [PP42] [ASVS 17.2.8] that swaps the fingerprint of an offer opens no channel', async () => {
    const swap: Change = (signal) => ({
      ...signal,
      ...(signal.type === 'offer' && {
        sdp: signal.sdp?.replace(
          /(fingerprint:sha-256 )\S+/,
          `$1${Array.from({ length: 32 }, () => 'AB').join(':')}`,
        ),
      }),
    })
    const [alice, bob] = await pair(swap, async () => true)
    const call = failure(alice.p2p.connect(bob.peer.name, { deadlineMs: 10_000 }))
    expect(await call).toMatchObject({ name: 'ConnectError' })
    expect([...alice.channels, ...bob.channels]).toEqual([])
  })

  test('[PP41] that adds a fingerprint of its own is refused as malformed', async () => {
    const add: Change = (signal) => ({
      ...signal,
      ...(signal.type === 'answer' && {
        sdp: signal.sdp?.replace(
          /a=fingerprint:sha-256 .*\r\n/,
          (line) => line + line.replaceAll(':A', ':B'),
        ),
      }),
    })
    const [alice, bob] = await pair(add)
    const call = failure(alice.p2p.connect(bob.peer.name, { deadlineMs: 60_000 }))
    expect((await call).message).toContain('malformed')
    expect(alice.channels).toEqual([])
  })
})

/** The method that pages of playwright and puppeteer share. */
interface AnyPage {
  evaluate(expression: string): Promise<unknown>
}

/** Shows each side the other side's view, without a key: for the stacks, whose fingerprints it compares. */
const COMPARE = `async (local, remote, line) => {
  line.send(new TextEncoder().encode(JSON.stringify([local, remote])))
  return new TextDecoder().decode(await line.receive()) === JSON.stringify([remote, local])
}`

describe('[PP41] [PP43] verify works with the stack', () => {
  const compare: Verify = async (local, remote, line) => {
    line.send(new TextEncoder().encode(JSON.stringify([local, remote])))
    return new TextDecoder().decode(await line.receive()) === JSON.stringify([remote, local])
  }

  test.each(['werift', '@roamhq/wrtc'])('%s', async (name) => {
    const stack = createRequire(import.meta.url)(name)
    const options = { verify: compare, RTCPeerConnection: stack.RTCPeerConnection }
    const foreign = await peerAt(one.url, 'foreign', options)
    const bob = await peerAt(other.url, 'bob', { verify: compare })
    const channel = await foreign.p2p.connect(bob.peer.name, { label: 'out' })
    await channel.send('hello')
    await expect.poll(() => bob.messages).toEqual(['hello'])
    const back = await bob.p2p.connect(foreign.peer.name, { label: 'back' })
    await back.send('hello')
    await expect.poll(() => foreign.messages).toEqual(['hello'])
  })

  test.each([
    ['chromium', launchChromium],
    ['firefox', launchFirefox],
  ])('%s', async (name, launch) => {
    const browser = await launch()
    onTestFinished(() => browser.stop())
    const page: AnyPage = await browser.page(`${one.url}/healthz`)
    const script = JSON.stringify(await sdkScript())
    await page.evaluate(`(async () => {
      const script = document.createElement('script')
      script.textContent = ${script}
      document.head.append(script)
      const options = { name: '${name}', storage: null, p2p: { verify: ${COMPARE} } }
      window.peer = await sdk.connect(location.origin, options)
      window.heard = []
      peer.p2p.on('channel-opened', (channel) => channel.on('message', (text) => heard.push(text)))
    })()`)
    const bob = await peerAt(other.url, 'bob', { verify: compare })
    const channel = await bob.p2p.connect(name, { label: 'out' })
    await channel.send('hello')
    await expect.poll(() => page.evaluate('heard')).toEqual(['hello'])
    await page.evaluate(
      `peer.p2p.connect('${bob.peer.name}', { label: 'back' }).then((channel) => channel.send('hello'))`,
    )
    await expect.poll(() => bob.messages).toEqual(['hello'])
  })
})
