import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificates, type Certificates } from '@peerage/test-support/certificates.js'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { REPOSITORY, startNodes, type Node } from '@peerage/test-support/node.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { connectTo, openPeer, receivedBy, servePages, type Pages } from '../interop/peerjs-pages.js'

// Access tokens in Chromium, with two nodes behind HAProxy, where TLS ends.

const SECRET = 'a secret of the application, at least 32 bytes'
/** A page asks for a new token at 70 to 90 % of this time. */
const SHORT_SECONDS = 6

let redis: RedisServer
let nodes: Node[]
let haproxy: Haproxy
let certificates: Certificates
let chromium: ChromiumBrowser
let site: Server
let pages: Pages
let asked = 0

function tokenOf(sub: string, seconds: number): Promise<string> {
  const token = new SignJWT().setProtectedHeader({ alg: 'HS256' }).setSubject(sub).setAudience('default')
  return token.setExpirationTime(`${seconds} seconds`).sign(new TextEncoder().encode(SECRET))
}

beforeAll(async () => {
  certificates = await makeCertificates()
  redis = await startRedis()
  const access = [
    '--access-mode',
    'token',
    '--access-token-algorithms',
    'HS256',
    '--access-token-secret',
    SECRET,
  ]
  nodes = await startNodes(2, { redisUrl: redis.url, args: access })
  haproxy = await startHaproxy({ backends: nodes, env: { PEERAGE_TLS_PEM: certificates.pem } })
  for (const i of nodes.keys()) await haproxy.until(i, 'UP')
  chromium = await launchChromium()
  pages = await servePages()
  const sdk = await readFile(`${REPOSITORY}packages/client/dist/bundle/peerage.global.js`)
  site = createServer((request, response) => {
    if (request.url === '/peerage.js')
      return void response.writeHead(200, { 'content-type': 'text/javascript' }).end(sdk)
    if (request.url !== '/token')
      return void response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<script src="/peerage.js"></script>')
    asked++
    void tokenOf('ann', SHORT_SECONDS).then((token) => response.end(token))
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
})

afterAll(async () => {
  await chromium?.stop()
  await pages?.stop()
  site?.closeAllConnections()
  site?.close()
  await haproxy?.stop()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
  await certificates?.remove()
})

const secure = (): string => haproxy.url.replace('http:', 'https:')

test('[WH14] [WL10] a page renews its token in place: the connection outlives two tokens', async () => {
  const page = await chromium.page(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`)
  await page.evaluate(async (url) => {
    const { connect } = Reflect.get(globalThis, 'Peerage') as {
      connect: (...args: unknown[]) => Promise<unknown>
    }
    const token = async (): Promise<string> => (await fetch('/token')).text()
    const peer = (await connect(url, { name: 'ann', token })) as {
      on: (event: string, listener: (state: unknown) => void) => void
    }
    const states: string[] = []
    peer.on('state', (state) => states.push(JSON.stringify(state)))
    Object.assign(globalThis, { states })
  }, secure())
  await expect.poll(() => asked, { timeout: 40_000 }).toBeGreaterThanOrEqual(3)
  const said = await page.evaluate(() => Reflect.get(globalThis, 'states') as string[])
  expect(said.join('\n')).toBe('')
  await page.context().close()
}, 60_000)

async function pageOf(id: string, seconds: number): Promise<Page> {
  const page = await chromium.page(pages.url)
  const token = `${await tokenOf(id, seconds)}~${Math.random().toString(36).slice(2)}`
  await openPeer(page, { host: haproxy.host, port: haproxy.port, id, token, secure: true })
  return page
}

test('[PJ18] [PJ23] a PeerJS page whose token ends is disconnected, and its data connection lives on', async () => {
  // A token is taken until 30 s after its end.
  const [one, other] = [await pageOf('tom', -15), await pageOf('eve', 600)]
  await connectTo(one, 'eve', 'chat', 'json')
  await one.waitForFunction(() => globalThis.said.includes('disconnected'), undefined, { timeout: 40_000 })
  await one.evaluate(async () => {
    await globalThis.connections.get('chat')?.send('still here')
  })
  expect(await receivedBy(other, 'chat', 1)).toEqual(['"still here"'])
  expect(await other.evaluate(() => globalThis.said)).toEqual([])
  const late = await chromium.page(pages.url)
  const old = {
    host: haproxy.host,
    port: haproxy.port,
    id: 'late',
    secure: true,
    token: await tokenOf('late', -60),
  }
  await expect(openPeer(late, old)).rejects.toThrow(/expired/)
  for (const page of [one, other, late]) await page.context().close()
}, 80_000)
