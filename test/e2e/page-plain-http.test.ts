import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { MOVED_MS, OPEN_MS, accept, fileIn, linkOf, row, save, sha256, share } from './page-kit.js'

// What newcomers meet first: http://192.168.1.5:9000. A browser locks away all that it allows only on https. Where this
// machine has no other address than loopback, Chromium is told that a name leads to it.

const FILE_BYTES = 100_000_000

let node: Node
let chromium: ChromiumBrowser
let directory: string
let base: string

beforeAll(async () => {
  node = await startNode({ args: ['--host', '0.0.0.0'] })
  const address = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address
  chromium = await launchChromium({ flags: ['--host-resolver-rules=MAP plain.test 127.0.0.1'] })
  base = `http://${address ?? 'plain.test'}:${node.port}/`
  directory = await mkdtemp(join(tmpdir(), 'peerage-plain-'))
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

test('the host sees the QR code, why there is no clipboard, and the command that gives https', async () => {
  const host = await open(base)
  expect(await linkOf(host)).toContain(base)
  expect(
    await host.evaluate(() => [isSecureContext, 'subtle' in crypto && crypto.subtle !== undefined]),
  ).toEqual([false, false])
  await host.getByRole('img', { name: 'The link as a QR code' }).waitFor()
  await host.getByText('This page came over plain http').waitFor()
  await host.getByText('--tls-cert').waitFor()
  await host.getByRole('button', { name: 'Copy', exact: true }).click()
  await host.getByText('The link is selected.').waitFor()
  expect(await host.evaluate(() => getSelection()?.toString())).toBe(await linkOf(host))
}, 120_000)

test('100 MB go in both directions through memory, whose limit is said before', async () => {
  const [there, back] = [randomBytes(FILE_BYTES), randomBytes(FILE_BYTES)]
  const host = await open(base)
  const guest = await open(await linkOf(host))
  await share(host, await fileIn(directory, 'there.bin', there))
  await guest.getByText('At most 256 MB.').waitFor({ timeout: OPEN_MS })
  await guest.getByText('so the browser can keep files only in memory').waitFor()
  await accept(guest)
  await row(guest, 'there.bin', 'complete').waitFor({ timeout: MOVED_MS })
  expect(sha256(await save(guest, 'there.bin'))).toBe(sha256(there))

  await guest.getByText('Send a text or files').click()
  await share(guest, await fileIn(directory, 'back.bin', back))
  await accept(host)
  await row(host, 'back.bin', 'complete').waitFor({ timeout: MOVED_MS })
  expect(sha256(await save(host, 'back.bin'))).toBe(sha256(back))
}, 400_000)

test('files above the limit cannot be accepted, and the page says what to do', async () => {
  const big = await fileIn(directory, 'big.bin', Buffer.alloc(257_000_000))
  const host = await open(base)
  await share(host, big, await fileIn(directory, 'small.txt', 'small'))
  const guest = await open(await linkOf(host))
  await guest.getByText('the browser takes 256 MB at most').waitFor({ timeout: OPEN_MS })
  await guest.getByText('ask the sender for a link that begins with https').waitFor()
  expect(await guest.getByRole('button', { name: /^Get \d/ }).isDisabled()).toBe(true)
  await guest.getByRole('checkbox', { name: 'Take big.bin' }).uncheck()
  await accept(guest)
  expect((await save(guest, 'small.txt')).toString()).toBe('small')
}, 180_000)
