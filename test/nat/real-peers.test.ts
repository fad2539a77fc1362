import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findBinary } from '@peerage/test-support/binary.js'
import { CHROMIUM, launchChromium } from '@peerage/test-support/chromium.js'
import { againWhenFrozen, unlessFrozen } from '@peerage/test-support/libdatachannel.js'
import { startNatLab, type NatKind, type NatLab } from '@peerage/test-support/nat-lab.js'
import { canUseNamespaces } from '@peerage/test-support/netns.js'
import type { Child } from '@peerage/test-support/process.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'
import { isHeard, resultOf, startPeer, startCluster, type Cluster } from './lab-rig.js'

// Chromium behind a NAT, with our STUN server, real coturn, and node-datachannel as the other peer. Needs root.

const namespaces = await canUseNamespaces()
if (!namespaces.ok) {
  process.stderr.write(
    `Chromium behind NATs did not run: ${namespaces.reason} (to run all of it: npm run test:nat)\n`,
  )
}

const HEARD_DEADLINE_MS = 20_000

let redis: RedisServer
let sdk: string

beforeAll(async () => {
  if (!namespaces.ok) return
  redis = await startRedis()
  sdk = await sdkScript()
})
afterAll(() => redis?.stop())

interface Testbed {
  lab: NatLab
  cluster: Cluster
  /** A page of the first node, in a Chromium behind NAT a. */
  page: Page
  /** Names that only this testbed uses, because the names of a former one stay reserved for their holders. */
  chromium: string
  bob: string
}

let testbeds = 0

async function build(kinds: { a: NatKind; b: NatKind }, turn: boolean | { ttlMs: number }): Promise<Testbed> {
  const lab = await startNatLab(kinds)
  onTestFinished(() => lab.stop())
  await lab.pub.expose(redis.port)
  const cluster = await startCluster(lab, redis, turn)
  onTestFinished(() => cluster.stop())
  const { path } = await findBinary(CHROMIUM)
  const browser = await launchChromium({ executablePath: await lab.a.launcher(path) })
  onTestFinished(() => browser.stop())
  const page = await browser.page(`${cluster.nodes[0].url}/healthz`)
  await page.addScriptTag({ content: sdk })
  testbeds++
  return { lab, cluster, page, chromium: `chromium-${testbeds}`, bob: `bob-${testbeds}` }
}

/** All candidates that Chromium gathers with this configuration. */
function gather(page: Page, configuration: RTCConfiguration): Promise<string[]> {
  return page.evaluate(async (given) => {
    const connection = new RTCPeerConnection(given)
    connection.createDataChannel('probe')
    const found: string[] = []
    const gathered = new Promise<void>((resolve) => {
      connection.addEventListener('icecandidate', ({ candidate }) => {
        if (candidate === null) resolve()
        else found.push(candidate.candidate)
      })
    })
    await connection.setLocalDescription()
    await gathered
    connection.close()
    return found
  }, configuration)
}

interface Outcome {
  path: string
  local: { type: string; address?: string }
}

/** The page becomes a peer, calls Bob and sends a message, which he receives. */
function call(testbed: Testbed, bob: Child, relayOnly = false): Promise<Outcome> {
  return unlessFrozen([bob], async () => {
    const outcome = await callFrom(testbed, relayOnly)
    await expectHeard(bob, testbed.chromium)
    return outcome
  })
}

async function callFrom(testbed: Testbed, relayOnly: boolean): Promise<Outcome> {
  const { page, cluster, chromium, bob } = testbed
  const options = { name: chromium, p2p: { relayOnly } }
  const script = `(async () => {
    const peer = await sdk.connect(${JSON.stringify(cluster.nodes[0].url)}, ${JSON.stringify(options)})
    window.peer = peer
    window.got = []
    peer.p2p.on('channel-opened', (c) => c.on('message', (data) => got.push([c.peer, data])))
    const channel = await peer.p2p.connect(${JSON.stringify(bob)})
    await channel.send('hello from Chromium')
    return channel.info()
  })()`
  return page.evaluate<Outcome>(script)
}

async function expectHeard(node: Child, from: string): Promise<void> {
  await node.line(
    (line) => isHeard(line, 'channel-message', from, 'hello from Chromium') || undefined,
    HEARD_DEADLINE_MS,
  )
}

describe.runIf(namespaces.ok)('Chromium and node-datachannel', () => {
  test("Chromium behind a NAT learns its public address from a node's UDP port", async () => {
    const { lab, cluster, page } = await build({ a: 'port-restricted', b: 'open' }, false)
    const { host, port } = cluster.nodes[0].p2p ?? { host: '', port: 0 }
    const candidates = await gather(page, { iceServers: [{ urls: `stun:${host}:${port}` }] })
    const reflexive = candidates.filter((line) => line.includes(' typ srflx'))
    expect(reflexive.length).toBeGreaterThan(0)
    for (const line of reflexive) expect(line).toContain(` ${lab.a.publicAddress} `)
  })

  test('port-restricted × port-restricted: Chromium calls Node directly', async () => {
    const testbed = await build({ a: 'port-restricted', b: 'port-restricted' }, false)
    const { lab, cluster, bob } = testbed
    const node = await startPeer(lab.b, { url: cluster.nodes[1].url, name: bob })
    expect(await call(testbed, node)).toMatchObject({ path: 'direct' })
  })

  test(
    'relay-only: Chromium calls Node through coturn, with the credentials of the welcome',
    againWhenFrozen,
    async () => {
      const testbed = await build({ a: 'port-restricted', b: 'port-restricted' }, true)
      const { lab, cluster, bob } = testbed
      const node = await startPeer(lab.b, { url: cluster.nodes[1].url, name: bob })
      const [relay] = lab.pub.addresses
      expect(await call(testbed, node, true)).toMatchObject({
        path: 'relayed',
        local: { type: 'relay', address: relay },
      })
    },
  )

  test('symmetric × symmetric: Node calls Chromium, relayed', againWhenFrozen, async () => {
    const { lab, cluster, page, chromium, bob } = await build({ a: 'symmetric', b: 'symmetric' }, true)
    await page.evaluate(`(async () => {
      window.got = []
      window.peer = await sdk.connect(${JSON.stringify(cluster.nodes[0].url)}, { name: '${chromium}' })
      peer.p2p.on('channel-opened', (c) => c.on('message', (data) => got.push([c.peer, data])))
    })()`)
    const node = await startPeer(lab.b, { url: cluster.nodes[1].url, name: bob })
    const said = 'hello from Node'
    node.call(chromium, said)
    await unlessFrozen([node], async () =>
      expect(await node.line((line) => resultOf(line, said), HEARD_DEADLINE_MS)).toMatchObject({
        path: 'relayed',
      }),
    )
    await page.waitForFunction('got.length === 1')
    expect(await page.evaluate('got')).toEqual([[bob, said]])
  })

  test(
    'an open connection of Chromium gets new TURN credentials before its own expire, for its next ICE restart',
    againWhenFrozen,
    async () => {
      const testbed = await build({ a: 'symmetric', b: 'symmetric' }, { ttlMs: 4_000 })
      const { lab, cluster, page, bob } = testbed
      const node = await startPeer(lab.b, { url: cluster.nodes[1].url, name: bob })
      // Only connections that were given a remote description, because the SDK always has a spare one.
      await page.evaluate(`{
      window.made = []
      const { setRemoteDescription } = RTCPeerConnection.prototype
      RTCPeerConnection.prototype.setRemoteDescription = function (description) {
        if (!made.includes(this)) made.push(this)
        return setRemoteDescription.call(this, description)
      }
      window.expiry = () => Number(made.at(-1).getConfiguration().iceServers.at(-1).username.split(':')[0])
    }`)
      expect(await call(testbed, node)).toMatchObject({ path: 'relayed' })
      const handshakes = await page.evaluate<number>('made.length')
      const first = await page.evaluate<number>('expiry()')
      await page.waitForFunction(`expiry() > ${first}`)
      expect(await page.evaluate('made.length')).toBe(handshakes)
      expect(await page.evaluate(`peer.p2p.channel('${bob}').state`)).toBe('open')
    },
  )
})
