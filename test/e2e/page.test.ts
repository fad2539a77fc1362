import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import {
  MOVED_MS,
  OPEN_MS,
  accept,
  begins,
  chooseWay,
  fileIn,
  linkOf,
  row,
  save,
  sha256,
  share,
} from './page-kit.js'

const FILE_BYTES = 50 * 1024 * 1024
/** Takes seconds to send, so that the test can interrupt it. */
const LONG_FILE_BYTES = 1024 * 1024 * 1024
let redis: RedisServer
let nodes: Node[]
let haproxy: Haproxy
let chromium: ChromiumBrowser
let directory: string

beforeAll(async () => {
  redis = await startRedis()
  nodes = await startNodes(2, { redisUrl: redis.url })
  haproxy = await startHaproxy({ backends: nodes })
  await Promise.all(nodes.map((_, index) => haproxy.until(index, 'UP')))
  chromium = await launchChromium()
  directory = await mkdtemp(join(tmpdir(), 'peerage-page-'))
})

afterAll(async () => {
  await chromium?.stop()
  await haproxy?.stop()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

async function open(url: string): Promise<Page> {
  const page = await chromium.page()
  page.setDefaultTimeout(OPEN_MS)
  listen(page)
  await page.goto(url)
  return page
}

const fileOf = (name: string, content: string | Buffer): Promise<string> => fileIn(directory, name, content)

/** A file of zeros that takes no room on the disk. */
async function longFile(name: string, bytes = LONG_FILE_BYTES): Promise<string> {
  const path = await fileOf(name, '')
  await truncate(path, bytes)
  return path
}

/** A host that shares these files. */
async function hostOf(...paths: string[]): Promise<[host: Page, link: string]> {
  const host = await open(haproxy.url)
  const link = await linkOf(host)
  if (paths.length > 0) await share(host, ...paths)
  return [host, link]
}

describe('the page', () => {
  test('through HAProxy, a guest sees the names and sizes, accepts, and gets 50 MB with the same SHA-256; texts go both ways', async () => {
    const bytes = randomBytes(FILE_BYTES)
    const [host, link] = await hostOf(await fileOf('video.bin', bytes))
    expect(new URL(link).origin).toBe(haproxy.url)
    const guest = await open(link)
    await guest.locator('[data-offered="video.bin"]').getByText('52.4 MB').waitFor({ timeout: OPEN_MS })
    await chooseWay(guest, 'Keep in this browser')
    await accept(guest)
    expect(sha256(await save(guest, 'video.bin'))).toBe(sha256(bytes))
    await row(host, 'video.bin', 'complete').getByText('Delivered').waitFor({ timeout: MOVED_MS })

    await guest.getByText('Send a text or files').click()
    await guest.getByLabel('Text', { exact: true }).fill('hello\nfrom https://example.org/path')
    await guest.getByRole('button', { name: 'Send', exact: true }).click()
    await host.getByRole('link', { name: 'https://example.org/path' }).waitFor()
    await guest.getByText('Delivered').waitFor()
  }, 400_000)

  test('a text that the host wrote before anybody came reaches each guest, also after a reload', async () => {
    const [host, link] = await hostOf()
    await host.getByRole('button', { name: 'Write a text' }).click()
    await host.getByLabel('Text', { exact: true }).fill('see you at nine')
    await host.getByRole('button', { name: 'Add', exact: true }).click()
    const guest = await open(link)
    await guest.getByText('see you at nine').waitFor({ timeout: OPEN_MS })
    await guest.reload()
    await guest.getByText('see you at nine').waitFor({ timeout: OPEN_MS })
  }, 120_000)

  test('a link that was cut works in the same tab as soon as it is whole', async () => {
    const [, link] = await hostOf(await fileOf('whole.txt', 'whole'))
    const guest = await open(link.slice(0, -9))
    await guest.getByText('The link was cut short').waitFor({ timeout: OPEN_MS })
    await guest.evaluate((whole) => (location.href = whole), link)
    await guest.locator('[data-offered="whole.txt"]').waitFor({ timeout: OPEN_MS })
  }, 120_000)

  test('a file that is truncated on disk while it is sent fails on both sides, and the next file arrives whole', async () => {
    const long = await longFile('long.bin')
    const [host, link] = await hostOf(long, await fileOf('next.txt', 'the next file'))
    const guest = await open(link)
    await chooseWay(guest, 'Keep in this browser')
    await accept(guest)
    await begins(guest, 'long.bin')
    await truncate(long, 10)
    for (const page of [host, guest]) {
      await row(page, 'long.bin', 'ended').waitFor({ timeout: MOVED_MS })
      await row(page, 'next.txt', 'complete').waitFor({ timeout: MOVED_MS })
    }
    expect((await save(guest, 'next.txt')).toString()).toBe('the next file')
  }, 400_000)

  test('a guest that reloads goes on with what it has, and asks nothing again', async () => {
    const [, link] = await hostOf(await longFile('resumed.bin', LONG_FILE_BYTES / 4))
    const guest = await open(link)
    const asked: string[] = []
    guest.on('dialog', (dialog) => {
      asked.push(dialog.type())
      void dialog.accept()
    })
    await chooseWay(guest, 'Keep in this browser')
    await accept(guest)
    await begins(guest, 'resumed.bin')
    await guest.reload()
    // The browser asks before a tab closes in the middle of a transfer.
    expect(asked).toEqual(['beforeunload'])
    await begins(guest, 'resumed.bin')
    await row(guest, 'resumed.bin', 'complete').waitFor({ timeout: MOVED_MS })
  }, 500_000)

  test('a host that reloads keeps its link and its list, and goes on when the same file is chosen again', async () => {
    const path = await fileOf('again.txt', 'the same content')
    const [host, link] = await hostOf(path)
    await host.locator('[data-file="again.txt"]').waitFor()
    // The list is kept a moment later.
    await expect
      .poll(() => host.evaluate(() => sessionStorage.getItem('peerage-share-host')))
      .toContain('again.txt')
    await host.reload()
    expect(await linkOf(host)).toBe(link)
    await host.getByText('Choose the same file again to go on').waitFor()
    await share(host, path)
    await host.getByText('Choose the same file again to go on').waitFor({ state: 'detached' })
    const guest = await open(link)
    await chooseWay(guest, 'Keep in this browser')
    await accept(guest)
    expect((await save(guest, 'again.txt')).toString()).toBe('the same content')
  }, 400_000)

  test('a reload of either side in the middle of a file leaves one card, and says what is waited for', async () => {
    const path = await longFile('both.bin', LONG_FILE_BYTES / 2)
    const [host, link] = await hostOf(path)
    const guest = await open(link)
    for (const page of [host, guest]) page.on('dialog', (dialog) => void dialog.accept())
    await chooseWay(guest, 'Keep in this browser')
    await accept(guest)
    await begins(guest, 'both.bin')
    await guest.getByRole('button', { name: 'Pause', exact: true }).click()
    await guest.reload()
    await row(guest, 'both.bin', 'paused').getByText('Paused by you').waitFor({ timeout: OPEN_MS })
    await expect.poll(() => host.locator('article').count(), { timeout: OPEN_MS }).toBe(1)
    await guest.getByRole('button', { name: 'Continue', exact: true }).click()
    await host.reload()
    await row(guest, 'both.bin', 'paused')
      .getByText('Waits until the other person chooses the file again')
      .waitFor({ timeout: OPEN_MS })
    await row(host, 'both.bin', 'paused')
      .getByText('Waits until you choose the file again')
      .waitFor({ timeout: OPEN_MS })
    expect(await host.getByRole('button', { name: /^Continue/ }).count()).toBe(0)
    await share(host, path)
    await row(guest, 'both.bin', 'complete').waitFor({ timeout: MOVED_MS })
    await guest.close()
    await host.getByText('Has left. Everything was delivered.').waitFor({ timeout: OPEN_MS })
  }, 500_000)

  test('what a guest has declined it can get after all, and the keyboard goes on at the progress', async () => {
    const [, link] = await hostOf(await fileOf('later.txt', 'wanted in the end'))
    const guest = await open(link)
    await guest.getByRole('button', { name: 'No, thanks' }).click({ timeout: OPEN_MS })
    await guest.getByRole('button', { name: 'Get it after all' }).press('Enter')
    await chooseWay(guest, 'Keep in this browser')
    await guest.getByRole('button', { name: /^Get \d/ }).press('Enter')
    await expect
      .poll(() => guest.evaluate(() => document.activeElement?.getAttribute('aria-label')))
      .toBe('Progress')
    expect((await save(guest, 'later.txt')).toString()).toBe('wanted in the end')
    await row(guest, 'later.txt').getByText('Saved as later.txt, in your downloads').waitFor()
  }, 300_000)

  test('a guest that leaves is shown as gone', async () => {
    const [host, link] = await hostOf()
    const guest = await open(link)
    await host.locator('[data-peer] [data-state=ready]').waitFor({ timeout: OPEN_MS })
    await guest.close()
    await host.getByText('Has left, or is away for a moment').waitFor({ timeout: OPEN_MS })
  }, 300_000)

  test('a wrong password is asked again, and the right one lets the guest in', async () => {
    const [host, older] = await hostOf(await fileOf('secret.txt', 'a secret'))
    await host.getByText('Options').click()
    await host.getByLabel('Password').fill('correct horse')
    await host.getByRole('button', { name: 'Set' }).click()
    await host.getByText('A password is set.').waitFor()
    const guest = await open(await linkOf(host))
    await guest.getByLabel('Password').fill('wrong')
    await guest.getByRole('button', { name: 'Open' }).click()
    await guest.getByText('That password is wrong. 9 tries are left.').waitFor()
    await guest.getByLabel('Password').fill('correct horse')
    await guest.getByRole('button', { name: 'Open' }).click()
    await guest.locator('[data-offered="secret.txt"]').waitFor({ timeout: OPEN_MS })

    // The link from before the password.
    const late = await open(older)
    await late.getByRole('heading', { name: 'This link has a password' }).waitFor({ timeout: OPEN_MS })
    expect(await late.getByRole('alert').count()).toBe(0)
    await late.getByLabel('Password').fill('correct horse')
    await late.getByRole('button', { name: 'Open' }).click()
    await late.locator('[data-offered="secret.txt"]').waitFor({ timeout: OPEN_MS })
    await host.getByRole('button', { name: 'Remove the password' }).click()
    await host.getByLabel('For one person only').waitFor()
  }, 400_000)

  test('a code that is typed leads to the same files, and serves one guest', async () => {
    const [host] = await hostOf(await fileOf('spoken.txt', 'by a code'))
    await host.getByRole('button', { name: 'Show a code' }).click()
    const code = await host.locator('[data-code=ready] .code-words').textContent({ timeout: OPEN_MS })
    const guest = await open(haproxy.url)
    await guest.getByRole('button', { name: 'I have a code' }).click()
    await guest.getByLabel('Code', { exact: true }).fill(code ?? '')
    await guest.getByRole('button', { name: 'Connect' }).click()
    await guest.locator('[data-offered="spoken.txt"]').waitFor()
    await host.locator('[data-code=used]').waitFor()
    const name = await guest.getByText(/^From /).textContent()
    // It comes back without another code, and both sides keep their friendly names.
    await guest.reload()
    await guest.locator('[data-offered="spoken.txt"]').waitFor()
    expect(await guest.getByText(/^From /).textContent()).toBe(name)
    await guest.getByRole('link', { name: 'Send files myself' }).click()
    await guest.getByLabel('Link to this share').waitFor()
  }, 300_000)

  test('a link for one person is taken by the first who accepts', async () => {
    const [host, link] = await hostOf(await fileOf('once.txt', 'for one'))
    await host.getByText('Options').click()
    await host.getByLabel('For one person only').check()
    await host.getByLabel('The link works').selectOption('for 1 hour')
    const first = await open(link)
    await first.getByText('This link is for one person.').waitFor()
    await first.getByText(/^The link works until/).waitFor()
    await chooseWay(first, 'Keep in this browser')
    await accept(first)
    await row(first, 'once.txt', 'complete').waitFor({ timeout: MOVED_MS })
    await host.getByText('Your share was taken').waitFor()
    const second = await open(link)
    await second.getByText('Somebody else has taken it').waitFor({ timeout: OPEN_MS })
    expect(await host.getByRole('button', { name: 'Copy' }).count()).toBe(0)
    await host.getByRole('button', { name: 'Share again' }).click()
    await host.getByRole('button', { name: 'Copy' }).waitFor()
    await second.getByRole('button', { name: 'Try again' }).click()
    await accept(second)
    await row(second, 'once.txt', 'complete').waitFor({ timeout: MOVED_MS })
    await host.getByText('Your share was taken').waitFor()
  }, 300_000)

  test('when the host stops sharing, its guest and who comes later are told', async () => {
    const [host, link] = await hostOf()
    const guest = await open(link)
    await host.locator('[data-peer] [data-state=ready]').waitFor({ timeout: OPEN_MS })
    await host.getByText('Options').click()
    await host.getByRole('button', { name: 'Stop sharing' }).click()
    await host.getByRole('button', { name: 'Yes, stop' }).click()
    await guest.getByText('The sender has stopped sharing').waitFor()
    await host.getByRole('button', { name: 'Start a new share' }).click()
    expect(await linkOf(host)).not.toBe(link)
    const late = await open(link)
    await late.getByRole('alert').getByText('does not fit any more').waitFor({ timeout: OPEN_MS })
  }, 300_000)

  test('its own link and a link without a name open a page that shares', async () => {
    const page = await open(`${haproxy.url}/?peer_id=`)
    const link = await linkOf(page)
    await page.getByText('The link was incomplete').waitFor()
    await page.goto(link)
    expect(await linkOf(page)).toBe(link)
    await page.getByText('This is your own link').waitFor()
    expect(await page.getByRole('alert').count()).toBe(0)
  }, 180_000)

  test.each([
    [
      'without its last part',
      (link: string) => link.split('#')[0] ?? '',
      'The last part of the link is missing',
    ],
    [
      'with something after it',
      (link: string) => `${link}and`,
      'Something in the link does not belong to it',
    ],
    ['that was cut short', (link: string) => link.slice(0, -5), 'The link was cut short'],
    [
      'to an impossible name',
      (link: string) => link.replace(/peer_id=[^#]*/, `peer_id=${'x'.repeat(300)}`),
      'This link is not valid',
    ],
    [
      'to an absent peer',
      (link: string) => link.replace(/peer_id=[^#]*/, 'peer_id=nobody-has-this-name'),
      'Nobody is there',
    ],
  ])(
    'a link %s says so, and what to do',
    async (_what, change, title) => {
      const [, link] = await hostOf()
      const page = await open(change(link))
      await page.getByRole('alert').getByText(title).waitFor({ timeout: OPEN_MS })
      expect(await page.getByRole('alert').getByRole('button').count()).toBeGreaterThan(0)
    },
    180_000,
  )
})
