import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Locator, Page } from 'puppeteer-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { launchFirefox, type FirefoxBrowser } from '@peerage/test-support/firefox.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { MOVED_MS, OPEN_MS, fileIn, linkOf, sha256, share } from './page-kit.js'

// The page in Firefox, with all that a person does there. Firefox has no dialogs for saving, so a folder becomes a zip.

const run = promisify(execFile)
const LONG_BYTES = 150_000_000

let node: Node
let firefox: FirefoxBrowser
let chromium: ChromiumBrowser
let directory: string

beforeAll(async () => {
  node = await startNode()
  directory = await mkdtemp(join(tmpdir(), 'peerage-firefox-'))
  await mkdir(join(directory, 'downloads'))
  firefox = await launchFirefox({
    'browser.download.dir': join(directory, 'downloads'),
    'browser.download.folderList': 2,
    'browser.download.always_ask_before_handling_new_types': false,
  })
  chromium = await launchChromium()
})

afterAll(async () => {
  await firefox?.stop()
  await chromium?.stop()
  await node?.stop()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

async function open(url: string): Promise<Page> {
  const page = await firefox.page(url)
  page.setDefaultTimeout(OPEN_MS)
  return page
}

const link = (page: Page): Promise<string> =>
  page.$eval('#link', (field) => (field instanceof HTMLInputElement ? field.value : ''))

/** Firefox draws nothing in a tab behind another one, and puppeteer waits until the page is drawn. */
async function inFront(page: Page, selector: string): Promise<Locator<Element>> {
  await page.bringToFront()
  return page.locator(selector)
}

/** Clicks the button, link, summary or label of this text. */
async function press(page: Page, text: string): Promise<void> {
  const kinds = ['button', 'a', 'summary', 'label'].map((kind) => `self::${kind}`).join(' or ')
  await (await inFront(page, `::-p-xpath(//*[${kinds}][contains(., "${text}")])`)).click()
}

/** A list that changes just then may take the click, so a person clicks once more. */
async function pressUntil(page: Page, text: string, selector: string): Promise<void> {
  await expect
    .poll(
      async () => {
        await press(page, text)
        return page.waitForSelector(selector, { timeout: 5_000 }).then(
          () => true,
          () => false,
        )
      },
      { timeout: OPEN_MS },
    )
    .toBe(true)
}

const fill = async (page: Page, selector: string, text: string): Promise<void> =>
  (await inFront(page, selector)).fill(text)

const says = async (page: Page, text: string, ms = OPEN_MS): Promise<void> =>
  void (await page.waitForFunction(
    (wanted) => document.body.innerText.includes(wanted),
    { timeout: ms, polling: 100 },
    text,
  ))

const ofFile = (name: string, state: string): string =>
  `[data-direction][data-file="${name}"][data-state="${state}"]`

const has = async (page: Page, selector: string, ms = MOVED_MS): Promise<void> =>
  void (await page.waitForSelector(selector, { timeout: ms }))

async function choose(page: Page, ...paths: string[]): Promise<void> {
  const field = await page.waitForSelector('input[data-pick=files]')
  await field?.uploadFile(...paths)
}

async function accept(page: Page, way: string): Promise<void> {
  await page.waitForSelector('input[type=radio]')
  const isShown = await page.evaluate((wanted) => document.body.innerText.includes(wanted), way)
  if (!isShown) await press(page, 'Other places')
  await press(page, way)
  await press(page, 'Get ')
}

const bytesOf = (page: Page, name: string): Promise<number> =>
  page.evaluate(
    (wanted) => document.querySelector<HTMLProgressElement>(`[data-file="${wanted}"] progress`)?.value ?? 0,
    name,
  )

/** Firefox makes an empty file at first. */
async function downloaded(name: string, bytes: number): Promise<Buffer> {
  const path = join(directory, 'downloads', name)
  const size = async (): Promise<number> => (existsSync(path) ? (await stat(path)).size : 0)
  await expect.poll(size, { timeout: MOVED_MS }).toBeGreaterThanOrEqual(bytes)
  return readFile(path)
}

test('between two Firefox pages: offer, pause, continue, reload, save, texts, cancel, decline, stop', async () => {
  const bytes = randomBytes(LONG_BYTES)
  const host = await open(node.url)
  await choose(host, await fileIn(directory, 'long.bin', bytes))
  await says(host, '1 file, 150 MB')
  const guest = await open(await link(host))
  await accept(guest, 'Keep in this browser')
  await expect.poll(() => bytesOf(guest, 'long.bin'), { timeout: OPEN_MS }).toBeGreaterThan(0)
  await pressUntil(guest, 'Pause', ofFile('long.bin', 'paused'))
  await has(host, ofFile('long.bin', 'paused'))
  await press(guest, 'Continue')
  await has(host, ofFile('long.bin', 'accepted'))

  guest.on('dialog', (dialog) => void dialog.accept())
  await guest.reload()
  await has(guest, ofFile('long.bin', 'complete'))
  await has(host, ofFile('long.bin', 'complete'))
  await (await inFront(guest, 'a[download]')).click()
  expect(sha256(await downloaded('long.bin', LONG_BYTES))).toBe(sha256(bytes))

  await press(guest, 'Send a text or files')
  await fill(guest, 'textarea[name=text]', 'from Firefox, https://example.org/')
  await (await inFront(guest, '.text-form button')).click()
  await says(host, 'from Firefox, https://example.org/')

  await choose(host, await fileIn(directory, 'unwanted.txt', 'no'))
  await press(guest, 'No, thanks')
  await has(host, ofFile('unwanted.txt', 'ended'))
  await says(host, 'Declined')

  await choose(host, await fileIn(directory, 'cut.bin', bytes))
  await accept(guest, 'As a download')
  await has(guest, ofFile('cut.bin', 'accepted'))
  await press(guest, 'Cancel all')
  await has(host, ofFile('cut.bin', 'ended'))

  await press(host, 'Options')
  await press(host, 'Stop sharing')
  await press(host, 'Yes, stop')
  await says(guest, 'The sender has stopped sharing')
}, 600_000)

test('a folder of Chromium becomes a zip in Firefox, and a download is written as it arrives', async () => {
  const host = await chromium.page(node.url)
  listen(host)
  const url = await linkOf(host)
  for (const name of ['one.txt', 'deep/two.txt', 'deep/empty.txt'])
    await fileIn(directory, `tree/${name}`, name === 'deep/empty.txt' ? '' : name)
  await host.locator('[data-pick=folder]').first().setInputFiles(join(directory, 'tree'))
  const guest = await open(url)
  await accept(guest, 'As one zip file')
  await says(guest, '3 files have arrived whole', MOVED_MS)
  await downloaded('tree.zip', 1)
  const { stdout } = await run('unzip', ['-p', join(directory, 'downloads', 'tree.zip'), 'tree/deep/two.txt'])
  expect(stdout).toBe('deep/two.txt')

  const bytes = randomBytes(20_000_000)
  await share(host, await fileIn(directory, 'stream.bin', bytes))
  await accept(guest, 'As a download')
  await has(guest, ofFile('stream.bin', 'complete'))
  expect(sha256(await downloaded('stream.bin', bytes.length))).toBe(sha256(bytes))
}, 400_000)

test('a code, a password and a link for one person, with the host in Firefox', async () => {
  const host = await open(node.url)
  await choose(host, await fileIn(directory, 'secret.txt', 'secret'))
  await press(host, 'Show a code')
  await has(host, '[data-code=ready]', OPEN_MS)
  const code = await host.$eval('.code-words', (words) => words.textContent ?? '')
  const coded = await open(node.url)
  await press(coded, 'I have a code')
  await fill(coded, 'input[name=code]', code)
  await press(coded, 'Connect')
  await has(coded, '[data-offered="secret.txt"]', OPEN_MS)
  // By its own link, it comes back without another code.
  await coded.reload()
  await has(coded, '[data-offered="secret.txt"]', OPEN_MS)

  await press(host, 'Options')
  await press(host, 'For one person only')
  await fill(host, 'input[name=new-password]', 'correct horse')
  await press(host, 'Set')
  await says(host, 'A password is set.')
  const guest = await open(await link(host))
  await fill(guest, 'input[name=password]', 'wrong')
  await press(guest, 'Open')
  await says(guest, 'That password is wrong. 9 tries are left.')
  await fill(guest, 'input[name=password]', 'correct horse')
  await press(guest, 'Open')
  await says(guest, 'This link is for one person.')
  await accept(guest, 'Keep in this browser')
  await has(guest, ofFile('secret.txt', 'complete'))
  await says(host, 'Your share was taken')
  await says(coded, 'Somebody else has taken it')
}, 300_000)
