import { createHash, randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '../support/chromium.js'
import { startHaproxy, type Haproxy } from '../support/haproxy.js'
import { startNodes, type Node } from '../support/node.js'
import { startRedis, type RedisServer } from '../support/redis.js'

const FILE_BYTES = 50 * 1024 * 1024

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

describe('the page', () => {
  test('through HAProxy, by its link: a channel between two contexts, a message, and 50 MB with the same SHA-256', async () => {
    const sharer = await open(haproxy.url)
    const link = await linkOf(sharer)
    expect(new URL(link).origin).toBe(haproxy.url)
    const caller = await open(link)
    await caller.getByText('Channel open').waitFor()
    await sharer.getByText('Channel open').waitFor()

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
      // Both sides show it, so that people can compare.
      for (const page of [sharer, caller]) await page.getByText(sha256).waitFor()
    } finally {
      await rm(path, { force: true })
    }
  }, 120_000)

  test('a link to nobody says so, and what to do', async () => {
    const page = await open(`${haproxy.url}/?peer_id=nobody-has-this-name`)
    const alert = page.getByRole('alert')
    await alert.waitFor()
    expect(await alert.textContent()).toMatch(/not|nobody|gone/i)
    await page.getByRole('button', { name: 'Try again' }).waitFor()
  })

  test('a reload keeps the name, and so the link', async () => {
    const page = await open(haproxy.url)
    const before = await linkOf(page)
    await page.reload()
    expect(await linkOf(page)).toBe(before)
  })
})
