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
