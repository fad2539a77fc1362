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

/** A page whose later parts the server does not have. */
async function open(url: string): Promise<Page> {
  const page = await chromium.page()
  page.setDefaultTimeout(OPEN_MS)
  listen(page)
  await page.route(/\/assets\/(?:zh|qr|words|real-codes|zip-place)-[^/]*\.js$/, (route) =>
    route.fulfill({ status: 404, body: 'not found' }),
  )
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
