import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'

const FILE_BYTES = 50 * 1024 * 1024
/** Takes seconds to send, so that the test can interrupt it. */
const LONG_FILE_BYTES = 1024 * 1024 * 1024

let redis: RedisServer
let nodes: Node[]
let haproxy: Haproxy
let chromium: ChromiumBrowser
const said: string[] = []

beforeAll(async () => {
  redis = await startRedis()
  nodes = await startNodes(2, { redisUrl: redis.url })
  haproxy = await startHaproxy({ backends: nodes })
  await Promise.all(nodes.map((_, index) => haproxy.until(index, 'UP')))
  chromium = await launchChromium()
})

afterAll(async () => {
  await chromium?.stop()
  await haproxy?.stop()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
})

async function open(url: string): Promise<Page> {
  const page = await chromium.page()
  said.push(...listen(page))
  await page.goto(url)
  return page
}

async function linkOf(page: Page): Promise<string> {
  return page.getByLabel('Link to this page').inputValue()
}

/** Two pages with a channel between them. */
async function openPair(): Promise<[sharer: Page, caller: Page]> {
  const sharer = await open(haproxy.url)
  const caller = await open(await linkOf(sharer))
  for (const page of [sharer, caller]) await page.getByText('Connected to the other browser').waitFor()
  return [sharer, caller]
}

const fileOn = (page: Page, name: string, state: 'moving' | 'complete' | 'failed'): Locator =>
  page.locator(`[data-file="${name}"][data-state="${state}"]`)

/** Waits until the caller's progress bar has moved. */
async function transferBegins(caller: Page, name: string): Promise<void> {
  await expect
    .poll(() =>
      fileOn(caller, name, 'moving')
        .locator('progress')
        .evaluate((bar: HTMLProgressElement) => bar.value),
    )
    .toBeGreaterThan(0)
}

describe('the page', () => {
  test('through HAProxy its link opens a channel between two browser contexts, which carries a message and 50 MB with the same SHA-256', async () => {
    const sharer = await open(haproxy.url)
    const link = await linkOf(sharer)
    expect(new URL(link).origin).toBe(haproxy.url)
    const caller = await open(link)
    await caller.getByText('Connected to the other browser').waitFor()
    await sharer.getByText('Connected to the other browser').waitFor()

    await caller.getByPlaceholder('Message').fill('hello from the link')
    await caller.getByRole('button', { name: 'Send' }).first().click()
    await sharer.getByText('hello from the link').waitFor()

    const bytes = randomBytes(FILE_BYTES)
    const path = join(tmpdir(), `peerage-page-${process.pid}.bin`)
    await writeFile(path, bytes)
    try {
      await sharer.locator('input[type=file]').setInputFiles(path)
      const download = await Promise.all([
        caller.waitForEvent('download', { timeout: 60_000 }),
        caller.getByRole('link', { name: /save|download/i }).click({ timeout: 60_000 }),
      ]).then(([one]) => one)
      const arrived = await readFile(await download.path())
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      expect(createHash('sha256').update(arrived).digest('hex')).toBe(sha256)
      // Both sides show the hash, so that people can compare.
      for (const page of [sharer, caller]) {
        await page.getByText(sha256).waitFor()
        await page.getByText('Complete').waitFor()
      }
    } finally {
      await rm(path, { force: true })
    }
  }, 120_000)

  test('a file that is truncated on disk while it is sent fails on both sides, and the next file arrives whole', async () => {
    const [sharer, caller] = await openPair()
    const directory = await mkdtemp(join(tmpdir(), 'peerage-page-'))
    try {
      const [long, next] = [join(directory, 'long.bin'), join(directory, 'next.txt')]
      await writeFile(long, '')
      await truncate(long, LONG_FILE_BYTES)
      await writeFile(next, 'the next file')
      await sharer.locator('input[type=file]').setInputFiles([long, next])
      await transferBegins(caller, 'long.bin')
      await truncate(long, 10)
      for (const page of [sharer, caller]) {
        await fileOn(page, 'long.bin', 'failed').getByText('could not be read to its end').waitFor()
        await fileOn(page, 'next.txt', 'complete').waitFor()
      }
      expect(await fileOn(sharer, 'long.bin', 'complete').count()).toBe(0)
      const [download] = await Promise.all([
        caller.waitForEvent('download'),
        fileOn(caller, 'next.txt', 'complete').getByRole('link', { name: 'Save' }).click(),
      ])
      expect(await readFile(await download.path(), 'utf8')).toBe('the next file')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }, 120_000)

  test.each(['recipient', 'sender'])(
    'if the %s of a file leaves during the transfer, the other side shows a failure',
    async (who) => {
      const [sharer, caller] = await openPair()
      const [gone, left] = who === 'recipient' ? [caller, sharer] : [sharer, caller]
      const directory = await mkdtemp(join(tmpdir(), 'peerage-page-'))
      try {
        const long = join(directory, 'long.bin')
        await writeFile(long, '')
        await truncate(long, LONG_FILE_BYTES)
        await sharer.locator('input[type=file]').setInputFiles(long)
        await transferBegins(caller, 'long.bin')
        await gone.close()
        const words = who === 'recipient' ? 'complete and confirmed' : 'received data was discarded'
        await fileOn(left, 'long.bin', 'failed').getByText(words).waitFor({ timeout: 60_000 })
        await left.getByText('The other page is closed').waitFor()
        await left.getByRole('button', { name: 'Connect again' }).click()
        // At once, and not when the call has waited for an answer.
        await left.getByRole('alert').getByText('Ask for a new link').waitFor({ timeout: 5_000 })
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    },
    120_000,
  )

  test('its own link and a link without a name open a page that shares', async () => {
    const page = await open(`${haproxy.url}/?peer_id=`)
    const link = await linkOf(page)
    await page.getByText('Nobody has connected yet').waitFor()
    await page.goto(link)
    expect(await linkOf(page)).toBe(link)
    await page.getByText('This is your own link').waitFor()
    expect(await page.getByRole('alert').count()).toBe(0)
  })

  test('a link to an absent peer says so, and what to do', async () => {
    const page = await open(`${haproxy.url}/?peer_id=nobody-has-this-name`)
    const alert = page.getByRole('alert')
    await alert.waitFor()
    expect(await alert.textContent()).toMatch(/not|nobody|gone/i)
    await page.getByRole('button', { name: 'Try again' }).waitFor()
  })

  test('a reload keeps the name and the link', async () => {
    const page = await open(haproxy.url)
    const before = await linkOf(page)
    await page.reload()
    expect(await linkOf(page)).toBe(before)
  })
})
