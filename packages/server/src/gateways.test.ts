import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { pino } from 'pino'
import { WebSocket } from 'ws'
import type { ConfigInput } from './config/schema.js'
import { createPeerage, type Peerage } from './peerage.js'

const running: Peerage[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((node) => node.stop()))
})

async function listen(settings: ConfigInput): Promise<{ url: string; node: Peerage }> {
  const logger = pino({ level: 'silent' })
  const node = createPeerage({ port: 0, open: true, page: false, logger, ...settings })
  running.push(node)
  const { url } = await node.listen()
  await node.ready()
  return { url: url.replace(/^http/, 'ws'), node }
}

/** The HTTP status of the answer to an upgrade. */
async function statusAt(url: string): Promise<number> {
  const socket = new WebSocket(url)
  const status = await new Promise<number>((resolve, reject) => {
    socket.on('open', () => resolve(101))
    socket.on('unexpected-response', (_, { statusCode = 0 }) => resolve(statusCode))
    socket.on('error', reject)
  })
  socket.on('error', () => {})
  socket.terminate()
  return status
}

const WIRES = [
  ['yWebrtc', 'y-webrtc', '/y-webrtc', '/y-webrtc/default/any/path'],
  ['trystero', 'trystero', '/trystero', '/trystero/default'],
  ['webtorrent', 'webtorrent', '/announce', '/announce/default'],
  ['matchbox', 'matchbox', '/matchbox', '/matchbox/chess?next=2'],
] as const

test.each(WIRES)('[UW1] %s is off by default, and on by one setting', async (section, wire, ...paths) => {
  const off = await listen({})
  const on = await listen({ [section]: { enabled: true } })
  for (const path of paths) {
    expect(await statusAt(off.url + path)).toBe(404)
    expect(await statusAt(on.url + path)).toBe(101)
  }
  expect(await on.node.metrics()).toContain(`peerage_connects_total{gateway="${wire}"} ${paths.length}`)
  expect(await on.node.metrics()).toContain(`peerage_slow_consumer_closes_total{gateway="${wire}"} 0`)
  expect(await off.node.metrics()).not.toContain(`peerage_connects_total{gateway="${wire}"}`)
})

test.each(WIRES)('[UW1] %s is below the path of the node', async (section, _, path) => {
  const { url } = await listen({ path: '/tier', [section]: { enabled: true } })
  const { host } = new URL(url)
  expect(await statusAt(`ws://${host}/tier${path}`)).toBe(101)
  expect(await statusAt(`ws://${host}${path}`)).toBe(404)
})

test('[UW1] connections without a name count for their app in the metrics', async () => {
  const { url, node } = await listen({
    webtorrent: { enabled: true },
    apps: { chess: {} },
    defaultApp: 'chess',
  })
  const socket = new WebSocket(`${url}/announce/chess`)
  await once(socket, 'open')
  await expect.poll(() => node.metrics()).toContain('peerage_app_connections{app="chess"} 1')
  expect(await node.metrics()).toContain('peerage_connections{gateway="webtorrent"} 1')
  socket.terminate()
})

// A node drops what is above its limits, and nothing warned of it.
test('what a node holds of peers without names is in the metrics', async () => {
  const { url, node } = await listen({ yWebrtc: { enabled: true }, webtorrent: { enabled: true } })
  const metrics = [
    'peerage_anonymous_peers',
    'peerage_anonymous_rooms',
    'peerage_anonymous_room_memberships',
    'peerage_pool_memberships',
  ]
  const counts = async (): Promise<number[]> => {
    const text = await node.metrics()
    return metrics.map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]))
  }
  expect(await counts()).toEqual([0, 0, 0, 0])
  const open = async (path: string, frame: object): Promise<WebSocket> => {
    const socket = new WebSocket(url + path)
    await once(socket, 'open')
    socket.send(JSON.stringify(frame))
    return socket
  }
  const announce = { action: 'announce', info_hash: 'h'.repeat(20), peer_id: 'p'.repeat(20), left: 0 }
  const sockets = await Promise.all([
    open('/y-webrtc', { type: 'subscribe', topics: ['a', 'b'] }),
    open('/y-webrtc', { type: 'subscribe', topics: ['b'] }),
    open('/announce', { ...announce, uploaded: 0, downloaded: 0, numwant: 0, offers: [] }),
  ])
  await expect.poll(counts).toEqual([3, 2, 3, 1])
  for (const socket of sockets) socket.terminate()
  await expect.poll(counts).toEqual([0, 0, 0, 0])
})

test('[UW8] a drain closes the connections of each wire with 4000', async () => {
  const on = { enabled: true }
  const { url, node } = await listen({ yWebrtc: on, trystero: on, webtorrent: on, matchbox: on })
  const closed: string[] = []
  const paths = ['/matchbox/table', '/y-webrtc', '/trystero', '/announce']
  const sockets = paths.map((path) => {
    const socket = new WebSocket(url + path)
    socket.on('close', (code) => closed.push(`${path} ${code}`))
    return socket
  })
  await Promise.all(sockets.map((socket) => once(socket, 'open')))
  const ends = Promise.all(sockets.map((socket) => once(socket, 'close')))
  await node.drain()
  await ends
  expect(closed.toSorted()).toEqual(paths.map((path) => `${path} 4000`).toSorted())
})
