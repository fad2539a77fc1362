import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { createSharing, memoryStore } from '@peerage/client/transfer'
import type { ShareHost, ShareSession, Sharing } from '@peerage/client/transfer'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'

// A channel whose path is lost finds another by an ICE restart (RFC 8445 §9), in real browsers with real signaling.

/** On a machine on which others run too. */
const DEADLINE_MS = 60_000
const WAIT = { timeout: DEADLINE_MS }

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
  const page = await fresh.page()
  page.setDefaultTimeout(DEADLINE_MS)
  await page.goto(url)
  return page
}

/** Opens two pages with an open channel between them. */
async function openPair(): Promise<[Page, Page]> {
  const sharer = await open(node.url)
  const caller = await open(await sharer.getByLabel('Link to this share').inputValue())
  for (const page of [caller, sharer]) await becomesWritable(page)
  return [sharer, caller]
}

/** Waits for a connection, and opens the field for texts. */
async function becomesWritable(page: Page): Promise<void> {
  await page.locator('[data-state=ready]').getByText('Connected').waitFor(WAIT)
  await page.getByText('Send a text or files').click()
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
  await write(from, text)
  await to.getByText(text, { exact: true }).waitFor()
}

async function write(from: Page, text: string): Promise<void> {
  await from.getByLabel('Text', { exact: true }).fill(text)
  await from.getByRole('button', { name: 'Send', exact: true }).click()
}

describe('ICE restart', () => {
  test.each([
    ['one side', [0]],
    ['both sides at once', [0, 1]],
  ])(
    '[PP13] when %s lost the path, the same channel goes on with new ICE credentials',
    async (_, losers) => {
      const pages = await openPair()
      await say(pages[0], pages[1], 'before')
      const before = await Promise.all(pages.map(ufrag))
      // Each page may have more than one connection, if the first attempt failed on a slow machine.
      const made = await Promise.all(pages.map(connections))
      await Promise.all(losers.map((index) => losePath(pages[index === 0 ? 0 : 1])))
      for (const [index, page] of pages.entries())
        await expect.poll(() => ufrag(page), WAIT).not.toBe(before[index])
      await say(pages[1], pages[0], 'after')
      await say(pages[0], pages[1], 'and back')
      expect(await Promise.all(pages.map(connections))).toEqual(made)
      for (const page of pages) expect(await page.locator('[data-state=ready]').count()).toBe(1)
    },
    300_000,
  )
})

describe('a browser and a Node peer', () => {
  let peer: Peer
  let sharing: Sharing
  let host: ShareHost
  beforeAll(async () => {
    sharing = createSharing({ store: memoryStore(1024 * 1024) })
    peer = await connect(node.url, { p2p: { verify: sharing.verify } })
    sharing.start(peer)
    host = sharing.host()
  })
  afterAll(async () => {
    await sharing?.close()
    await peer?.leave()
  })

  const texts = ({ transfer }: ShareSession): string[] =>
    transfer.state.items.flatMap((item) => (item.kind === 'text' ? item.text : []))

  const lastSession = (): ShareSession => {
    const session = host.sessions.at(-1)
    if (session === undefined) throw new Error('nobody has opened the link')
    return session
  }

  test('open a channel, whichever side calls', async () => {
    const guest = await open(host.link(`${node.url}/`))
    await becomesWritable(guest)
    await write(guest, 'to Node')
    await expect.poll(() => texts(lastSession()), WAIT).toContain('to Node')

    const sharer = await open(node.url)
    const link = new URL(await sharer.getByLabel('Link to this share').inputValue())
    const name = link.searchParams.get('peer_id') ?? ''
    const session = await sharing.join({ name, fragment: link.hash.slice(1) })
    await expect.poll(() => session.state, WAIT).toMatchObject({ name: 'open', path: 'direct' })
    session.transfer.sendText('to the page')
    await sharer.getByText('to the page').waitFor()
    session.close()
    await sharer.getByText('Has disconnected').waitFor()
  }, 300_000)

  test('[PP13] make a new connection when the path is lost, because Node cannot restart ICE', async () => {
    const guest = await open(host.link(`${node.url}/`))
    await becomesWritable(guest)
    await write(guest, 'before')
    await expect.poll(() => texts(lastSession()), WAIT).toContain('before')
    const made = await connections(guest)
    await losePath(guest)
    // There may be several new connections, if the first attempt of libdatachannel failed.
    await expect.poll(() => connections(guest), WAIT).toBeGreaterThan(made)
    lastSession().transfer.sendText('still here')
    await guest.getByText('still here').waitFor()
  }, 300_000)
})
