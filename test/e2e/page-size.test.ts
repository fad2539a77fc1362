import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { OPEN_MS, linkOf } from './page-kit.js'

// How much script the page loads before it shows the link. Newcomers wait for it.

/** Kilobytes of 1,000 bytes, of all scripts together, in the gzip form that the node sends. */
const FIRST_KB_MAX = 80

/** What a guest, a code, an archive or another language needs. */
const LATER = [
  'sessions',
  'p2p',
  'password',
  'host-code',
  'code-guest',
  'words',
  'saving',
  'session-views',
  'worker',
  'zip-place',
  'zh',
]

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

/** The scripts that the page asks for, also for its workers, in order. */
function scriptsOf(page: Page): string[] {
  const asked: string[] = []
  page.context().on('request', (request) => {
    const { pathname } = new URL(request.url())
    if (pathname.endsWith('.js') && !asked.includes(pathname)) asked.push(pathname)
  })
  return asked
}

/** How many bytes of the script the node sends to a browser that takes gzip. */
async function gzipBytes(path: string): Promise<number> {
  const response = await fetch(new URL(path, node.url), { headers: { 'accept-encoding': 'gzip' } })
  const length = Number(response.headers.get('content-length'))
  await response.arrayBuffer()
  if (!response.ok || !(length > 0)) throw new Error(`${path}: ${response.status}, ${length} bytes`)
  return length
}

/** From now on the page is never idle, until the returned function is called. So what it loads when it is idle comes later. */
async function keepBusy(page: Page): Promise<() => Promise<void>> {
  await page.addInitScript(() => {
    const waiting: IdleRequestCallback[] = []
    globalThis.requestIdleCallback = (callback) => waiting.push(callback)
    document.addEventListener('test-idle', () => {
      for (const callback of waiting.splice(0)) callback({ didTimeout: false, timeRemaining: () => 50 })
    })
  })
  return () => page.evaluate(() => void document.dispatchEvent(new Event('test-idle')))
}

test('less than 80 KB of script come before the link is shown, and the rest comes when the page is idle', async () => {
  const page = await chromium.page()
  page.setDefaultTimeout(OPEN_MS)
  const becomeIdle = await keepBusy(page)
  const asked = scriptsOf(page)
  await page.goto(node.url)
  await page.getByLabel('Link to this share').waitFor()
  const first = [...asked]
  expect(await linkOf(page)).toContain('?peer_id=')
  const sizes = await Promise.all(first.map(async (path) => ({ path, bytes: await gzipBytes(path) })))
  const sum = sizes.reduce((total, { bytes }) => total + bytes, 0)
  console.info(`${sum} bytes of script before the link, of ${sizes.length} files`)
  // If this fails, the difference shows which scripts are large.
  expect(sum < FIRST_KB_MAX * 1_000 ? [] : sizes).toEqual([])
  // The page is there, so this is not the size of an error.
  expect(sum).toBeGreaterThan(20_000)

  const isAsked = (name: string): boolean => asked.some((path) => path.includes(`/assets/${name}-`))
  expect(LATER.filter(isAsked)).toEqual([])
  await becomeIdle()
  await expect.poll(() => LATER.filter((name) => !isAsked(name)), { timeout: OPEN_MS }).toEqual([])
}, 120_000)
