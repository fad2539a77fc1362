import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { MOVED_MS, OPEN_MS, accept, chooseWay, fileIn, linkOf, row, save, share } from './page-kit.js'

// What a guest has of its files after a reload, when nobody is there who could send them again.

let node: Node
let chromium: ChromiumBrowser
let directory: string

beforeAll(async () => {
  node = await startNode()
  chromium = await launchChromium()
  directory = await mkdtemp(join(tmpdir(), 'peerage-kept-'))
})

afterAll(async () => {
  await chromium?.stop()
  await node?.stop()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

async function open(url: string): Promise<Page> {
  const page = await chromium.page()
  page.setDefaultTimeout(OPEN_MS)
  listen(page)
  await page.goto(url)
  return page
}

/** A host and a guest that has two whole files, and has saved none. */
async function received(way: string): Promise<[host: Page, guest: Page]> {
  const host = await open(node.url)
  const link = await linkOf(host)
  await share(host, await fileIn(directory, 'one.txt', 'one'), await fileIn(directory, 'two.txt', 'two'))
  const guest = await open(link)
  await chooseWay(guest, way)
  await accept(guest)
  for (const name of ['one.txt', 'two.txt']) await row(guest, name, 'complete').waitFor({ timeout: MOVED_MS })
  return [host, guest]
}

async function stopSharing(host: Page): Promise<void> {
  await host.getByText('Options').click()
  await host.getByRole('button', { name: 'Stop sharing' }).click()
  await host.getByRole('button', { name: 'Yes, stop' }).click()
}

test.each(['stops sharing', 'closes its tab'])(
  'when the sender %s and the guest reloads, it can still save what the browser has kept, and remove it',
  async (how) => {
    const [host, guest] = await received('Keep in this browser')
    if (how === 'stops sharing') {
      await stopSharing(host)
      await guest.getByText('The sender has stopped sharing').waitFor()
    } else await host.close()
    await guest.reload()
    await guest.getByText('This browser has kept 2 files for you').waitFor({ timeout: OPEN_MS })
    expect((await save(guest, 'one.txt')).toString()).toBe('one')
    expect((await save(guest, 'two.txt')).toString()).toBe('two')
    await guest.getByRole('button', { name: 'Remove them from this browser' }).click()
    await expect.poll(() => row(guest, 'one.txt').count()).toBe(0)
    await guest.reload()
    await guest.getByRole('button', { name: 'Send files myself' }).waitFor({ timeout: OPEN_MS })
    expect(await row(guest, 'one.txt').count()).toBe(0)
  },
  240_000,
)

test('the browser asks before a tab is closed that has files in memory only, until they are saved', async () => {
  const [, guest] = await received('In memory, then save')
  const asked: string[] = []
  guest.on('dialog', (dialog) => {
    asked.push(dialog.type())
    void dialog.accept()
  })
  for (const name of ['one.txt', 'two.txt']) await save(guest, name)
  // A person has used the page, so a browser would ask.
  await guest.reload()
  expect(asked).toEqual([])
  await guest.getByRole('button', { name: 'Get them again' }).click()
  await chooseWay(guest, 'In memory, then save')
  await accept(guest)
  await row(guest, 'two.txt', 'complete').waitFor({ timeout: MOVED_MS })
  await row(guest, 'one.txt', 'complete').waitFor({ timeout: MOVED_MS })
  await guest.reload()
  expect(asked).toEqual(['beforeunload'])
}, 240_000)

test('what a guest has had as downloads is not new after a reload: the sender still reads "Delivered", and the guest can get it again', async () => {
  const host = await open(node.url)
  const link = await linkOf(host)
  await share(
    host,
    await fileIn(directory, 'three.txt', 'three'),
    await fileIn(directory, 'four.txt', 'four'),
  )
  const guest = await open(link)
  await chooseWay(guest, 'As a download')
  await accept(guest)
  await host.getByText('2 files were delivered').waitFor({ timeout: MOVED_MS })
  await row(guest, 'four.txt', 'complete').waitFor({ timeout: MOVED_MS })
  await guest.reload()
  await guest.getByText('You have had 2 files before').waitFor({ timeout: OPEN_MS })
  expect(await guest.locator('[data-offered]').count()).toBe(0)
  await host.getByText('2 files were delivered').waitFor()
  await row(host, 'three.txt', 'complete').getByText('Delivered').waitFor()
  await guest.getByRole('button', { name: 'Get them again' }).click()
  await chooseWay(guest, 'Keep in this browser')
  await accept(guest)
  expect((await save(guest, 'three.txt')).toString()).toBe('three')
}, 240_000)
