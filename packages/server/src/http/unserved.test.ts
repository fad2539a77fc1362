import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { urlWires } from '../config/url-wires.js'
import { createPeerage, type PeerageOptions } from '../peerage.js'
import { unservedAt } from './unserved.js'

const closers: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A node that listens, and the lines of its log. */
async function listening(options: PeerageOptions = {}) {
  const lines: Record<string, unknown>[] = []
  const logger = pino(
    { level: 'info' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  )
  const node = createPeerage({ logger, port: 0, open: true, page: false, admin: { port: 0 }, ...options })
  closers.push(() => node.stop())
  const { url, admin } = await node.listen()
  await node.ready()
  return { url, admin: admin ?? '', refused: () => lines.filter(({ msg }) => msg === 'refused') }
}

/** The answer to an upgrade that is refused. */
async function upgrade(url: string): Promise<{ status: number | undefined; detail: unknown }> {
  const asked = request(url, {
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version': '13',
    },
  })
  asked.end()
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  const { detail } = JSON.parse(await text(answer)) as { detail: unknown }
  return { status: answer.statusCode, detail }
}

const OFF = [
  ['/y-webrtc/chat/minutes', 'y-webrtc', 'y-webrtc', 'yWebrtc.enabled'],
  ['/announce', 'webtorrent', 'WebTorrent', 'webtorrent.enabled'],
  ['/trystero/', 'trystero', 'trystero', 'trystero.enabled'],
  ['/matchbox/room?app=games&key=secret', 'matchbox', 'matchbox', 'matchbox.enabled'],
] as const

test.each(OFF)(
  '[UW1] an upgrade to %s of a wire that is off says so to the client, the log and the metrics',
  async (path, wire, client, setting) => {
    const { url, admin, refused } = await listening()
    const detail = `this node does not serve ${client}: the setting ${setting} switches it on`
    for (let i = 0; i < 3; i++) expect(await upgrade(url + path)).toEqual({ status: 404, detail })
    expect(refused()).toMatchObject([{ wire, code: 'off', why: detail }])
    expect(await (await fetch(`${admin}/metrics`)).text()).toContain(
      `peerage_rejections_total{gateway="${wire}",reason="off"} 3`,
    )
  },
)

test('an upgrade to another path is told which paths there are', async () => {
  const { url, refused } = await listening({ yWebrtc: { enabled: true } })
  expect(await upgrade(`${url}/socket`)).toEqual({
    status: 404,
    detail: 'no WebSocket endpoint at this path; this node has them at /peerage/, /peerjs, /y-webrtc',
  })
  expect(refused()).toEqual([])
})

describe('the path of a wire', () => {
  const at = (path: string, input: ConfigInput) =>
    unservedAt(path, ['/peerage/'], urlWires(configSchema.parse(input)))

  test('is below the path of the node, and whole', () => {
    expect(at('/tier/y-webrtc/chat', { path: '/tier' }).wire).toBe('y-webrtc')
    for (const path of ['/y-webrtc/chat', '/tier/y-webrtcs', '/tier', ''])
      expect(at(path, { path: '/tier' })).toMatchObject({ wire: 'none', refusal: { reason: 'path' } })
  })

  test('names the flag of serve', () => {
    expect(at('/announce/files', {}).refusal.detail).toBe(
      'this node does not serve WebTorrent: the setting webtorrent.enabled (--webtorrent) switches it on',
    )
  })
})
