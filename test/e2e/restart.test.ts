import { connect } from '@peerage/client'
import type { Channel, P2P, Peer } from '@peerage/client'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'

// A channel whose path is lost finds another by an ICE restart (RFC 8445 §9), in real browsers with real signaling.

let node: Node
let chromium: ChromiumBrowser

beforeAll(async () => {
  node = await startNode()
  chromium = await launchChromium()
})
afterAll(async () => {
  await chromium?.stop()
  await node?.stop()
})

declare global {
  var rtcConnections: RTCPeerConnection[]
}

/** Opens a page that records its connections with a remote description. (The SDK always has an unused one in reserve.) */
async function open(url: string): Promise<Page> {
  const fresh = await chromium.context()
  await fresh.context.addInitScript(() => {
    globalThis.rtcConnections = []
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
        if (!globalThis.rtcConnections.includes(this)) globalThis.rtcConnections.push(this)
        return super.setRemoteDescription(description)
      }
    }
  })
  return fresh.page(url)
}

/** Opens two pages with an open channel between them. */
async function openPair(): Promise<[Page, Page]> {
  const sharer = await open(node.url)
  const caller = await open(await sharer.getByLabel('Link to this page').inputValue())
  for (const page of [caller, sharer]) await page.getByText('Connected to the other browser').waitFor()
  return [sharer, caller]
}

/** Reports to the SDK what a browser reports when every path is lost. */
const losePath = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const connection = globalThis.rtcConnections.at(-1)
    if (!connection) throw new Error('no connection')
    Object.defineProperty(connection, 'connectionState', { value: 'failed', configurable: true })
    connection.dispatchEvent(new Event('connectionstatechange'))
    Reflect.deleteProperty(connection, 'connectionState')
  })

const connections = (page: Page): Promise<number> => page.evaluate(() => globalThis.rtcConnections.length)

const ufrag = (page: Page): Promise<string | undefined> =>
  page.evaluate(
    () => /a=ice-ufrag:(\S+)/.exec(globalThis.rtcConnections.at(-1)?.localDescription?.sdp ?? '')?.[1],
  )

async function say(from: Page, to: Page, text: string): Promise<void> {
  await from.getByPlaceholder('Message').fill(text)
  await from.getByRole('button', { name: 'Send', exact: true }).click()
  await to.getByText(text).waitFor()
}

describe('ICE restart', () => {
  test.each([
    ['one side', [0]],
    ['both sides at once', [0, 1]],
  ])('[PP13] when %s lost the path, the same channel goes on with new ICE credentials', async (_, losers) => {
    const pages = await openPair()
    await say(pages[0], pages[1], 'before')
    const before = await Promise.all(pages.map(ufrag))
    // Each page may have more than one connection, if the first attempt failed on a slow machine.
    const made = await Promise.all(pages.map(connections))
    await Promise.all(losers.map((index) => losePath(pages[index === 0 ? 0 : 1])))
    for (const [index, page] of pages.entries())
      await expect.poll(() => ufrag(page), { timeout: 10_000 }).not.toBe(before[index])
    await say(pages[1], pages[0], 'after')
    await say(pages[0], pages[1], 'and back')
    expect(await Promise.all(pages.map(connections))).toEqual(made)
    for (const page of pages) expect(await page.getByText('Connection closed').count()).toBe(0)
  })
})

describe('a browser and a Node peer', () => {
  let peer: Peer
  let p2p: P2P
  beforeAll(async () => {
    peer = await connect(node.url)
    if (peer.p2p === null) throw new Error('P2P is disabled')
    p2p = peer.p2p
  })
  afterAll(async () => {
    await peer?.leave()
  })

  const opened = (): Promise<Channel> =>
    new Promise((resolve) => {
      const stop = p2p.on('channel-opened', (channel) => {
        stop()
        resolve(channel)
      })
    })
  const heard = (channel: Channel): Promise<unknown> =>
    new Promise((resolve) => {
      const stop = channel.on('message', (data) => {
        stop()
        resolve(data)
      })
    })

  test('open a channel, whichever side calls', async () => {
    const called = opened()
    const caller = await open(`${node.url}/?peer_id=${peer.name}`)
    await caller.getByText('Connected to the other browser').waitFor()
    const first = await called
    const message = heard(first)
    await caller.getByPlaceholder('Message').fill('to Node')
    await caller.getByRole('button', { name: 'Send', exact: true }).click()
    expect(await message).toContain('to Node')

    const sharer = await open(node.url)
    const link = new URL(await sharer.getByLabel('Link to this page').inputValue())
    const second = await p2p.connect(link.searchParams.get('peer_id') ?? '')
    await second.send('{"type":"text","text":"to the page"}')
    await sharer.getByText('to the page').waitFor()
    await first.close()
    await caller.getByText('Connection closed').waitFor()
  })

  test('[PP13] make a new connection when the path is lost, because Node cannot restart ICE', async () => {
    const called = opened()
    const caller = await open(`${node.url}/?peer_id=${peer.name}`)
    await caller.getByText('Connected to the other browser').waitFor()
    const first = await called
    const made = await connections(caller)
    const again = opened()
    const gone = new Promise((resolve) => first.on('close', resolve))
    await losePath(caller)
    await gone
    const second = await again
    await second.send('{"type":"text","text":"still here"}')
    await caller.getByText('still here').waitFor()
    // There may be several new connections, if the first attempt of libdatachannel failed.
    expect(await connections(caller)).toBeGreaterThan(made)
  })
})
