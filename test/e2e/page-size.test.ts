import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { OPEN_MS, linkOf } from './page-kit.js'

// How much script the page loads before it shows the link. Newcomers wait for it.

/** Kilobytes of 1,000 bytes, of all scripts together, in the gzip form that the node sends. */
const FIRST_KB_MAX = 80

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

test('less than 80 KB of script come before the link is shown', async () => {
  const page = await chromium.page()
  page.setDefaultTimeout(OPEN_MS)
  const asked = scriptsOf(page)
  await page.goto(node.url)
  await page.getByLabel('Link to this share').waitFor()
  const first = [...asked]
  expect(await linkOf(page)).toContain('?peer_id=')
  const sizes = await Promise.all(first.map(async (path) => ({ path, bytes: await gzipBytes(path) })))
  const sum = sizes.reduce((total, { bytes }) => total + bytes, 0)
  console.info(`${sum} bytes of script before the link:`, sizes)
  expect(sum).toBeGreaterThan(20_000)
  expect(sum).toBeLessThan(FIRST_KB_MAX * 1_000)
}, 120_000)
