import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { MOVED_MS, OPEN_MS, accept, begins, chooseWay, fileIn, linkOf, row, save, share } from './page-kit.js'

// Behind the load balancer there may be a node of another version, which lacks the parts that this page loads later.

let node: Node
let chromium: ChromiumBrowser
let directory: string

beforeAll(async () => {
  node = await startNode()
  chromium = await launchChromium()
  directory = await mkdtemp(join(tmpdir(), 'peerage-parts-'))
})

afterAll(async () => {
  await chromium?.stop()
  await node?.stop()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

/** What most pages never need. */
const RARE_PARTS = /\/assets\/(?:zh|qr|words|real-codes|zip-place)-[^/]*\.js$/

/** A page whose later parts the server does not have. */
async function open(url: string, parts = RARE_PARTS): Promise<Page> {
  const page = await chromium.page()
  page.setDefaultTimeout(OPEN_MS)
  listen(page)
  await page.route(parts, (route) => route.fulfill({ status: 404, body: 'not found' }))
  await page.goto(url)
  return page
}

const isTold = (page: Page): Promise<void> =>
  page.getByRole('alert').getByText('A part of the page could not be loaded').waitFor()

test('a missing language says "reload", and what is moving goes on', async () => {
  const long = await fileIn(directory, 'long.bin', Buffer.alloc(200_000_000, 7))
  const host = await open(node.url)
  await share(host, long)
  const guest = await open(await linkOf(host))
  await chooseWay(guest, 'Keep in this browser')
  await accept(guest)
  await begins(guest, 'long.bin')
  for (const page of [host, guest]) {
    await page.getByLabel('Language').selectOption('中文')
    await isTold(page)
    await page.getByRole('button', { name: 'Reload' }).waitFor()
  }
  await row(guest, 'long.bin', 'complete').waitFor({ timeout: MOVED_MS })
  expect((await save(guest, 'long.bin')).length).toBe(200_000_000)
  await row(host, 'long.bin', 'complete').waitFor({ timeout: MOVED_MS })
}, 300_000)

test('a missing list of words says so where a code is shown and where one is entered', async () => {
  const shown = await open(node.url)
  await shown.getByRole('button', { name: 'Show a code' }).click()
  await isTold(shown)
  const entered = await open(node.url)
  await entered.getByRole('button', { name: 'I have a code' }).click()
  await isTold(entered)
}, 120_000)

test('a missing module for archives says so, and another place still works', async () => {
  const host = await open(node.url)
  await fileIn(directory, 'tree/one.txt', 'one')
  await host.locator('[data-pick=folder]').first().setInputFiles(join(directory, 'tree'))
  const guest = await open(await linkOf(host))
  await chooseWay(guest, 'As one zip file Saved')
  await accept(guest)
  await isTold(guest)
  await guest.locator('[data-offered]').first().waitFor()
}, 120_000)

test('a host without the code for guests says so when one comes, and after a reload the guest gets in', async () => {
  const host = await open(node.url, /\/assets\/sessions-[^/]*\.js$/)
  await share(host, await fileIn(directory, 'waits.txt', 'waits'))
  const link = await linkOf(host)
  const guest = await open(link)
  await isTold(host)
  await host.unrouteAll()
  await host.getByRole('button', { name: 'Reload' }).click()
  // Its files are chosen again after a reload.
  await share(host, join(directory, 'waits.txt'))
  // The guest goes on by itself, or its person tries again.
  const again = guest.getByRole('button', { name: 'Try again' })
  const offered = guest.locator('[data-offered]').first()
  await again.or(offered).first().waitFor({ timeout: OPEN_MS })
  if (await again.isVisible()) await again.click()
  await offered.waitFor({ timeout: OPEN_MS })
}, 180_000)

test.each(['sessions', 'session-views'])(
  'a guest without the code of %s says "reload", and gets in after it',
  async (part) => {
    const host = await open(node.url)
    await share(host, await fileIn(directory, `${part}.txt`, part))
    const guest = await open(await linkOf(host), new RegExp(`/assets/${part}-[^/]*\\.js$`))
    await isTold(guest)
    await guest.unrouteAll()
    await guest.getByRole('button', { name: 'Reload' }).first().click()
    await guest.locator('[data-offered]').first().waitFor({ timeout: OPEN_MS })
  },
  120_000,
)

test('without the code for direct channels, files go through the server', async () => {
  const host = await open(node.url, /\/assets\/p2p-[^/]*\.js/)
  await share(host, await fileIn(directory, 'slow.txt', 'through the server'))
  const guest = await open(await linkOf(host))
  await chooseWay(guest, 'Keep in this browser')
  await accept(guest)
  expect((await save(guest, 'slow.txt')).toString()).toBe('through the server')
}, 120_000)

test('without the code of the storage, a guest is told, and the host too when a file of it is read', async () => {
  const missing = /\/assets\/saving-[^/]*\.js$/
  const host = await open(node.url, missing)
  await share(host, await fileIn(directory, 'stored.txt', 'stored'))
  const guest = await open(await linkOf(host), missing)
  await isTold(guest)
  await guest.unrouteAll()
  await guest.getByRole('button', { name: 'Reload' }).click()
  await chooseWay(guest, 'Keep in this browser')
  await accept(guest)
  await isTold(host)
}, 120_000)
