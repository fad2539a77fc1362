import { createServer, type Server } from 'node:http'
import type { Page } from 'playwright-core'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { bundle } from '../lib/bundle.js'
import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { quantile } from '../lib/stats.js'
import { startStack, type Stack, type StackName } from '../stacks.js'

const CALLS = 20
const QUICK_CALLS = 2
/** Both sides have closed the previous call, and nothing of it is left to slow the next one. */
const PAUSE_MS = 200

const PEERAGE = 'peerage'
const PEERJS = 'peer'

/** What a page offers: register under a name, and call another name. Both entries define it on `globalThis`. */
interface Caller {
  here(port: number, name: string): Promise<void>
  /** Milliseconds from the call to the open channel. */
  call(name: string): Promise<number>
}

declare global {
  var caller: Caller
}

// PeerJS gets no STUN server: its default servers cannot be reached here, and host candidates suffice on one machine.
const PEERJS_ENTRY = `
import Peer from 'peerjs'
let peer
globalThis.caller = {
  here: (port, name) => new Promise((resolve, reject) => {
    peer = new Peer(name, { host: '127.0.0.1', port, path: '/', config: { iceServers: [] } })
    peer.on('open', () => resolve())
    peer.on('error', reject)
  }),
  call: (name) => new Promise((resolve, reject) => {
    const start = performance.now()
    const connection = peer.connect(name, { reliable: true })
    connection.on('open', () => {
      resolve(performance.now() - start)
      connection.close()
    })
    connection.on('error', reject)
  }),
}
`
const PEERAGE_ENTRY = `
import { connect } from '@peerage/client'
let peer
globalThis.caller = {
  here: async (port, name) => { peer = await connect('http://127.0.0.1:' + port, { name, storage: null }) },
  call: async (name) => {
    const start = performance.now()
    const channel = await peer.p2p.connect(name)
    const ms = performance.now() - start
    channel.close()
    return ms
  },
}
`

function contender(name: StackName, entry: string): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const stack = await startStack(name, 1)
      const code = await bundle({ entry })
      const { server, url } = await servePage(code)
      const browser = await launchChromium()
      const stop = async (): Promise<void> => {
        await browser.stop()
        server.close()
        await stack.stop()
      }
      try {
        const pages = await openPages(browser, stack, url)
        return { measure: () => callOften(pages[0], quick ? QUICK_CALLS : CALLS), stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

async function servePage(code: string): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const isScript = request.url === '/entry.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? code : '<!doctype html><script type="module" src="/entry.js"></script>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return { server, url: `http://127.0.0.1:${address.port}/` }
}

async function openPages(browser: ChromiumBrowser, stack: Stack, url: string): Promise<[Page, Page]> {
  const open = async (name: string): Promise<Page> => {
    const page = await browser.page(url)
    await page.waitForFunction(() => 'caller' in globalThis)
    const port = stack.ports[0] ?? 0
    await page.evaluate(({ port, name }) => globalThis.caller.here(port, name), { port, name })
    return page
  }
  return [await open('alice'), await open('bob')]
}

async function callOften(page: Page, calls: number): Promise<Metrics> {
  const times: number[] = []
  for (let call = 0; call < calls; call++) {
    times.push(await page.evaluate(() => globalThis.caller.call('bob')))
    await page.waitForTimeout(PAUSE_MS)
  }
  times.sort((a, b) => a - b)
  return { p50: quantile(times, 0.5), p90: quantile(times, 0.9) }
}

export const channel: readonly Comparison[] = [
  {
    id: 'channel-open',
    title: 'From connect(name) to an open channel',
    load:
      `two Chromium contexts on one machine and one node, ${CALLS} calls a round, one after the other, each ` +
      `closed before the next; host candidates suffice for both`,
    processes: 'kept',
    rounds: 5,
    contenders: [contender(PEERAGE, PEERAGE_ENTRY), contender(PEERJS, PEERJS_ENTRY)],
    rows: [
      {
        measure: 'connect(name) → channel open, p50',
        metric: 'p50',
        unit: 'ms',
        subject: PEERAGE,
        against: PEERJS,
        aim: { of: 'ratio', most: 0.8 },
      },
      {
        measure: 'connect(name) → channel open, p90',
        metric: 'p90',
        unit: 'ms',
        subject: PEERAGE,
        against: PEERJS,
      },
    ],
  },
]
