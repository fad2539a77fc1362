import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { connectTo, openPeer, receivedBy, saidBy, servePages, type Pages } from './peerjs-pages.js'

// The unmodified peerjs@1.5.5 from npm in Chromium, with two nodes behind HAProxy.

let redis: RedisServer
let nodes: Node[]
let haproxy: Haproxy
let chromium: ChromiumBrowser
let pages: Pages

beforeAll(async () => {
  redis = await startRedis()
  nodes = await startNodes(2, { redisUrl: redis.url, args: ['--peerjs-allow-discovery'] })
  haproxy = await startHaproxy({ backends: nodes })
  await haproxy.until(0, 'UP')
  await haproxy.until(1, 'UP')
  chromium = await launchChromium()
  pages = await servePages()
})
afterAll(async () => {
  await chromium?.stop()
  await pages?.stop()
  await haproxy?.stop()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
})

let made = 0
/** Two pages, each in its own browser context, whose peers are on different nodes. */
async function pair() {
  made++
  const [alice, bob] = [`alice-${made}`, `bob-${made}`]
  const at = { host: haproxy.host, port: haproxy.port }
  const [one, other] = [await chromium.page(pages.url), await chromium.page(pages.url)]
  // HAProxy alternates between the nodes. To choose the node, the other one is disabled.
  await haproxy.disable(1)
  await openPeer(one, { ...at, id: alice })
  await haproxy.enable(1)
  await haproxy.until(1, 'UP')
  await haproxy.disable(0)
  await openPeer(other, { ...at, id: bob })
  await haproxy.enable(0)
  await haproxy.until(0, 'UP')
  return {
    alice,
    bob,
    one,
    other,
    close: () => Promise.all([one.context().close(), other.context().close()]),
  }
}

describe('data', () => {
  const structured = { text: 'ä€😀', list: [1, 2.5, null, true], nested: { deep: ['x'] } }
  for (const [serialization, data, expected] of [
    ['binary', structured, JSON.stringify(structured)],
    ['binary-utf8', structured, JSON.stringify(structured)],
    ['json', structured, JSON.stringify(structured)],
    ['raw', 'ä€😀', JSON.stringify('ä€😀')],
    ['none', 'ä€😀', JSON.stringify('ä€😀')],
    ['MsgPack', structured, JSON.stringify(structured)],
  ] as const)
    test(`[PJ6] a data connection across nodes, serialization ${serialization}`, async () => {
      const { bob, one, other, close } = await pair()
      // PeerJS's constant `None` has the value `raw`.
      const value = serialization === 'none' ? 'raw' : serialization
      await connectTo(one, bob, serialization, value)
      await one.evaluate(
        async ({ label, data }) => {
          for (let n = 0; n < 3; n++) await globalThis.connections.get(label)?.send(data)
        },
        { label: serialization, data },
      )
      expect(await receivedBy(other, serialization, 3)).toEqual([expected, expected, expected])
      await other.evaluate(async (label) => {
        await globalThis.connections.get(label)?.send('and back')
      }, serialization)
      expect(await receivedBy(one, serialization, 1)).toEqual(['"and back"'])
      expect([await saidBy(one), await saidBy(other)]).toEqual([[], []])
      await close()
    })

  test('[PJ6] bytes that are larger than one message of the channel', async () => {
    const { bob, one, other, close } = await pair()
    await connectTo(one, bob, 'large', 'binary')
    await one.evaluate(async () => {
      await globalThis.connections.get('large')?.send(new Uint8Array(200_000).map((_, index) => index % 251))
    })
    const [bytes] = await receivedBy(other, 'large', 1)
    expect(bytes).toBe(`bytes ${Array.from({ length: 200_000 }, (_, index) => index % 251).join(',')}`)
    await close()
  })
})

describe('media', () => {
  test('[PJ6] a call across nodes: the callee gets video and audio of the fake devices', async () => {
    const { bob, one, other, close } = await pair()
    await one.evaluate(async (bob) => {
      const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true })
      globalThis.media = globalThis.peer.call(bob, stream, { metadata: { why: 'test' } })
    }, bob)
    await other.waitForFunction(() => globalThis.said.includes('stream audio video'))
    const frames = await other.evaluate(async () => {
      const video = document.createElement('video')
      const stream = globalThis.media?.remoteStream ?? null
      video.srcObject = stream
      video.muted = true
      await video.play()
      return new Promise<number>((resolve) => {
        video.requestVideoFrameCallback((_, frame) => resolve(frame.width))
      })
    })
    expect(frames).toBeGreaterThan(0)
    await close()
  })
})

describe('what PeerJS itself reports', () => {
  test('[PJ12] without an id the server makes one, on any node', async () => {
    const page = await chromium.page(pages.url)
    const id = await openPeer(page, { host: haproxy.host, port: haproxy.port })
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    const listed = await page.evaluate(
      () =>
        new Promise<string[]>((resolve) => globalThis.peer.listAllPeers((ids) => resolve(ids.map(String)))),
    )
    expect(listed).toContain(id)
    await page.context().close()
  })

  test('[PJ5] a taken id is reported as unavailable-id', async () => {
    const { alice, close } = await pair()
    const page = await chromium.page(pages.url)
    await expect(openPeer(page, { host: haproxy.host, port: haproxy.port, id: alice })).rejects.toThrow(
      'unavailable-id',
    )
    await page.context().close()
    await close()
  })

  test('[PJ9] an absent peer is reported as peer-unavailable, and no other connection ends', async () => {
    const { bob, one, other, close } = await pair()
    await connectTo(one, bob, 'stays', 'json')
    await one.evaluate(() => {
      globalThis.peer.connect('nobody-at-all')
    })
    await one.waitForFunction(() => globalThis.said.length > 0)
    expect(await saidBy(one)).toEqual(['error peer-unavailable Could not connect to peer nobody-at-all'])
    await one.evaluate(async () => {
      await globalThis.connections.get('stays')?.send(1)
    })
    expect(await receivedBy(other, 'stays', 1)).toEqual(['1'])
    await close()
  })

  test('[PJ4] after disconnect and reconnect to the other node the id is back, and data connections stay open', async () => {
    const { alice, bob, one, other, close } = await pair()
    await connectTo(one, bob, 'stays', 'json')
    await one.evaluate(() => globalThis.peer.disconnect())
    await haproxy.disable(0)
    const back = await one.evaluate(
      () =>
        new Promise<string>((resolve) => {
          globalThis.peer.once('open', resolve)
          globalThis.peer.reconnect()
        }),
    )
    await haproxy.enable(0)
    expect(back).toBe(alice)
    await connectTo(other, alice, 'fresh', 'json')
    await one.evaluate(async () => {
      await globalThis.connections.get('stays')?.send('still')
    })
    expect(await receivedBy(other, 'stays', 1)).toEqual(['"still"'])
    expect([await saidBy(one), await saidBy(other)]).toEqual([['disconnected'], []])
    await close()
  })
})

test('[PJ10] a page with a fixed id that is reloaded 100 times behind HAProxy never gets ID-TAKEN', async () => {
  const page = await chromium.page(pages.url)
  for (let round = 0; round < 100; round++) {
    expect(await openPeer(page, { host: haproxy.host, port: haproxy.port, id: 'fixed' })).toBe('fixed')
    await page.reload()
  }
  await page.context().close()
}, 120_000)

// The time from `new Peer` to `destroy()` differs from round to round, so that some rounds end in each step of opening.
test('[PJ10] a peer that is destroyed before it opens and created again at once does not get ID-TAKEN', async () => {
  const page = await chromium.page(pages.url)
  await page.waitForFunction(() => document.title === 'ready')
  const outcomes = await page.evaluate(
    async (at) => {
      const { Peer } = globalThis.peerjs
      const outcomes: string[] = []
      for (let round = 0; round < 60; round++) {
        const id = `hasty-${round}`
        const first = new Peer(id, at)
        first.on('error', () => {})
        const until = performance.now() + (round % 20) * 0.75
        await new Promise((resolve) => setTimeout(resolve, Math.floor((round % 20) * 0.75)))
        while (performance.now() < until);
        first.destroy()
        const second = new Peer(id, at)
        outcomes.push(
          await new Promise<string>((resolve) => {
            second.on('open', () => resolve('open'))
            second.on('error', ({ type }) => resolve(type))
          }),
        )
        second.destroy()
      }
      return outcomes
    },
    { host: haproxy.host, port: haproxy.port, debug: 0, config: { iceServers: [] } },
  )
  expect(outcomes).toEqual(outcomes.map(() => 'open'))
  await page.context().close()
}, 120_000)
