import { createServer, type Server } from 'node:http'
import type { BrowserContext, Page } from 'playwright-core'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { relayPages, startDelayingRelay, type DelayingRelay } from '@peerage/test-support/delaying-relay.js'
import { bundle } from './bundle.js'

/** Two pages of one Chromium, in contexts of their own. */
export interface TwoPages {
  readonly pages: readonly [Page, Page]
  stop(): Promise<void>
}

/** Opens two pages. `delayMs`: how long their WebRTC datagrams take, one way. */
export async function openTwoPages(
  open: (context: BrowserContext, index: number) => Promise<Page>,
  delayMs: number,
): Promise<TwoPages> {
  const browser = await launchChromium()
  const relay = delayMs > 0 ? startDelayingRelay(delayMs) : undefined
  const stop = async (): Promise<void> => {
    await browser.stop()
    relay?.stop()
  }
  try {
    return { pages: [await openOne(browser, relay, open, 0), await openOne(browser, relay, open, 1)], stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openOne(
  browser: ChromiumBrowser,
  relay: DelayingRelay | undefined,
  open: (context: BrowserContext, index: number) => Promise<Page>,
  index: number,
): Promise<Page> {
  const { context } = await browser.context()
  if (relay) await relayPages(context, relay)
  return open(context, index)
}

/** Serves a page that runs this module. */
export async function serveEntry(entry: string): Promise<{ url: string; stop: () => void }> {
  const code = await bundle({ entry })
  const server: Server = createServer((request, response) => {
    const isScript = request.url === '/entry.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? code : '<!doctype html><script type="module" src="/entry.js"></script>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return { url: `http://127.0.0.1:${address.port}/`, stop: () => server.close() }
}
