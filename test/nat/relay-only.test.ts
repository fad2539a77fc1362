import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { launchChromium } from '@peerage/test-support/chromium.js'
import { startCoturn, type Coturn } from '@peerage/test-support/coturn.js'
import { launchFirefox } from '@peerage/test-support/firefox.js'
import { againWhenFrozen, unlessFrozen } from '@peerage/test-support/libdatachannel.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { startChild } from '@peerage/test-support/process.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'
import { callBetween, eventOf, startPeer, type LabPeer } from './lab-rig.js'

// Tests `relayOnly` from the other side: where the pair that its own ICE has selected ends. TURN relays from these ports,
// which nothing else on this machine uses.

const RELAY_PORTS = { low: 61_000, high: 61_999 }
const HEARD_DEADLINE_MS = 20_000

/** The part of a browser's page that both drivers share. */
interface Evaluates {
  evaluate(script: string): Promise<unknown>
}

let coturn: Coturn
let node: Node
let names = 0

beforeAll(async () => {
  const ports = ['--min-port', String(RELAY_PORTS.low), '--max-port', String(RELAY_PORTS.high)]
  coturn = await startCoturn({ secret: 'north', args: ports })
  node = await startNode({
    args: ['--p2p-turn-urls', coturn.turnUrl],
    env: { PEERAGE_P2P_TURN_SECRET: 'north' },
  })
})
afterAll(async () => {
  await node?.stop()
  await coturn?.stop()
})

async function peer(options: { relayOnly?: boolean; stack?: string } = {}): Promise<LabPeer> {
  const started = await startPeer(
    { start: startChild },
    { url: node.url, name: `peer-${++names}`, ...options },
  )
  onTestFinished(() => started.stop())
  return started
}

/** The end of the far side's selected pair, once its channel to `from` is open. */
async function seenBy(far: LabPeer, from: string): Promise<{ remote: { port: number } }> {
  const line = await far.line((text) => {
    const told = eventOf(text)
    return told?.['event'] === 'opened' && told['peer'] === from ? text : undefined
  }, HEARD_DEADLINE_MS)
  return JSON.parse(line)
}

async function expectRelayed(far: LabPeer, from: string): Promise<void> {
  // We do not check the path: if checks arrive before the candidates, the far side reports that end as peer-reflexive,
  // whether it is a relay or not.
  const { remote } = await seenBy(far, from)
  expect(remote.port).toBeGreaterThanOrEqual(RELAY_PORTS.low)
  expect(remote.port).toBeLessThanOrEqual(RELAY_PORTS.high)
}

describe('[PP15] relayOnly with node-datachannel', () => {
  test('is refused, to the caller at once and to a peer that calls, and reveals no address', async () => {
    const [far, hidden] = [await peer(), await peer({ relayOnly: true })]
    const calls = await callBetween(hidden, far)
    expect(calls).toMatchObject({
      path: 'server',
      stage: 'ice',
      error: expect.stringMatching(/relayOnly cannot/),
    })
    expect(calls.ms).toBeLessThan(5_000)
    const called = await callBetween(far, hidden)
    expect(called).toMatchObject({
      path: 'server',
      stage: 'no-answer',
      error: expect.stringMatching(/takes calls through TURN only/),
    })
    expect(hidden.output()).toMatch(/a peer called and was refused: relayOnly cannot be kept/)
    expect(far.output()).not.toContain('"event":"opened"')
  })
})

describe.each(['werift', '@roamhq/wrtc'])('[PP15] relayOnly with %s', (stack) => {
  test('that calls: the far side ends at the relay', againWhenFrozen, async () => {
    const [far, hidden] = [await peer(), await peer({ relayOnly: true, stack })]
    await unlessFrozen([far], async () => {
      hidden.call(far.name, 'hello')
      await expectRelayed(far, hidden.name)
    })
  })

  test('that is called: the far side ends at the relay', againWhenFrozen, async () => {
    const [far, hidden] = [await peer(), await peer({ relayOnly: true, stack })]
    await unlessFrozen([far], async () => {
      far.call(hidden.name, 'hello')
      await expectRelayed(far, hidden.name)
    })
  })
})

describe.each([
  ['Chromium', () => launchChromium()],
  // Without this preference Firefox uses no TURN server on loopback.
  ['Firefox', () => launchFirefox({ 'media.peerconnection.ice.loopback': true })],
] as const)('[PP15] relayOnly in %s', (_, launch) => {
  let browser: Awaited<ReturnType<typeof launch>>
  let sdk: string
  beforeAll(async () => {
    sdk = await sdkScript()
    browser = await launch()
  })
  afterAll(() => browser?.stop())

  /** The page becomes a peer that hides its address. */
  async function pagePeer(name: string): Promise<Evaluates> {
    const page: Evaluates = await browser.page(`${node.url}/healthz`)
    const options = JSON.stringify({ name, p2p: { relayOnly: true } })
    await page.evaluate(`${sdk}\n;window.sdk = sdk`)
    await page.evaluate(`(async () => { window.peer = await sdk.connect(location.origin, ${options}) })()`)
    return page
  }

  test('that calls: the far side ends at the relay', againWhenFrozen, async () => {
    const [far, name] = [await peer(), `page-${++names}`]
    const page = await pagePeer(name)
    await unlessFrozen([far], async () => {
      await page.evaluate(`peer.p2p.connect(${JSON.stringify(far.name)}).then(() => undefined)`)
      await expectRelayed(far, name)
    })
  })

  test('that is called: the far side ends at the relay', againWhenFrozen, async () => {
    const [far, name] = [await peer(), `page-${++names}`]
    await pagePeer(name)
    await unlessFrozen([far], async () => {
      far.call(name, 'hello')
      await expectRelayed(far, name)
    })
  })
})
