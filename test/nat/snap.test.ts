import { connect, type Peer } from '@peerage/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Page } from 'playwright-core'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'

// A Chromium that offers SNAP, as in its origin trial. SNAP puts the start of SCTP into the description, so Chromium sends
// data at once to a peer that accepts.

const SNAP_FLAGS = ['--enable-features=WebRtcSctpSnap', '--force-fieldtrials=WebRTC-Sctp-Snap/Enabled/']

let node: Node
let chromium: ChromiumBrowser
let sdk: string
let names = 0

beforeAll(async () => {
  node = await startNode()
  sdk = await sdkScript()
  chromium = await launchChromium({ flags: SNAP_FLAGS })
})
afterAll(async () => {
  await chromium?.stop()
  await node?.stop()
})

async function pagePeer(): Promise<{ page: Page; name: string }> {
  const name = `page-${++names}`
  const page = await chromium.page(`${node.url}/healthz`)
  await page.addScriptTag({ content: sdk })
  await page.evaluate(`(async () => {
    window.heard = []
    const { setRemoteDescription, createOffer } = RTCPeerConnection.prototype
    window.offered = window.answered = ''
    RTCPeerConnection.prototype.createOffer = async function () {
      const offer = await createOffer.call(this)
      window.offered = offer.sdp
      return offer
    }
    RTCPeerConnection.prototype.setRemoteDescription = function (description) {
      if (description.type === 'answer') window.answered = description.sdp
      return setRemoteDescription.call(this, description)
    }
    window.peer = await sdk.connect(location.origin, { name: '${name}' })
    peer.p2p.on('channel-opened', (channel) => channel.on('message', (data) => heard.push(data)))
  })()`)
  return { page, name }
}

async function nodePeer(): Promise<{ peer: Peer; heard: Promise<unknown> }> {
  const peer = await connect(node.url, { name: `node-${++names}`, storage: null })
  onTestFinished(() => peer.leave())
  const heard = new Promise((resolve) =>
    peer.p2p?.on('channel-opened', (channel) => channel.on('message', resolve)),
  )
  return { peer, heard }
}

describe('[PP29] a Chromium that offers SNAP', () => {
  test('calls Node: both get the channel', async () => {
    const [{ page }, { peer, heard }] = [await pagePeer(), await nodePeer()]
    await page.evaluate(`(async () => {
      const channel = await peer.p2p.connect('${peer.name}')
      await channel.send('hello')
    })()`)
    expect(await heard).toBe('hello')
    expect(await page.evaluate('offered')).toContain('a=sctp-init:')
    expect(await page.evaluate('answered')).not.toContain('a=sctp-init:')
  })

  test('is called by Node: both get the channel', async () => {
    const [{ page, name }, { peer }] = [await pagePeer(), await nodePeer()]
    const channel = await peer.p2p?.connect(name)
    await channel?.send('hello')
    await page.waitForFunction('heard.length === 1')
  })
})
