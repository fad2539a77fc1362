import { afterAll, beforeAll, expect, test } from 'vitest'
import { createHash, randomBytes } from 'node:crypto'
import type { Page } from 'playwright-core'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startChild, type Child } from '@peerage/test-support/process.js'
import { startSite, type Site } from './site.js'

// The examples run as their README says, in two contexts of a browser, which use two nodes.

const SERVED_MS = 30_000
const FILE_BYTES = 3_000_000

let site: Site
let chromium: ChromiumBrowser
let vite: Child
let pagesUrl: string

beforeAll(async () => {
  const port = await freePort()
  pagesUrl = `http://127.0.0.1:${port}`
  const where = ['--host', '127.0.0.1', '--port', String(port), '--strictPort']
  const args = [`${REPOSITORY}node_modules/vite/bin/vite.js`, 'examples', ...where]
  vite = await startChild({ command: process.execPath, args, cwd: REPOSITORY })
  ;[site, chromium] = await Promise.all([startSite(), launchChromium()])
  await vite.line((line) => line.includes('ready in') || undefined, SERVED_MS)
})
afterAll(async () => {
  await chromium?.stop()
  await vite?.stop()
  await site?.stop()
})

/** Opens an example in a context of its own, with a node as its server. */
async function open(example: string, node: 0 | 1, hash = ''): Promise<{ page: Page; said: string[] }> {
  const server = site.nodes[node].url.replace('http', 'ws')
  const page = await chromium.page()
  const said = listen(page)
  await page.goto(`${pagesUrl}/${example}/?server=${server}#${hash}`)
  return { page, said }
}

const errors = (said: readonly string[]): string[] => said.filter((line) => /^(?:error|thrown)/.test(line))

test('examples/yjs-editor: two browsers at two nodes write one text', async () => {
  const [ann, bob] = await Promise.all([open('yjs-editor', 0, 'plan'), open('yjs-editor', 1, 'plan')])
  await ann.page.fill('#text', 'first line\nlast line')
  await bob.page.waitForFunction(() => document.querySelector('textarea')?.value === 'first line\nlast line')
  await bob.page.fill('#text', 'first line\nsecond line\nlast line')
  await ann.page.waitForFunction(() => document.querySelector('textarea')?.value.includes('second line'))
  expect(await ann.page.inputValue('#text')).toBe('first line\nsecond line\nlast line')
  expect(await ann.page.textContent('#others')).toBe('1')
  expect(errors([...ann.said, ...bob.said])).toEqual([])
})

test('examples/webtorrent-file: a file reaches a browser at the other node by its link', async () => {
  const content = randomBytes(FILE_BYTES)
  const ann = await open('webtorrent-file', 0)
  await ann.page.setInputFiles('#file', {
    name: 'holiday.bin',
    mimeType: 'application/octet-stream',
    buffer: content,
  })
  await ann.page.waitForFunction(() => document.querySelector('#link')?.textContent !== '')
  const [, infoHash] = (await ann.page.textContent('#link'))?.split('#') ?? []
  const bob = await open('webtorrent-file', 1, infoHash)
  await bob.page.waitForSelector('#save[download="holiday.bin"]')
  const download = bob.page.waitForEvent('download')
  await bob.page.click('#save')
  const chunks: Buffer[] = []
  for await (const chunk of await (await download).createReadStream()) chunks.push(Buffer.from(chunk))
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
  expect(hash(Buffer.concat(chunks))).toBe(hash(content))
  expect(await bob.page.textContent('#progress')).toBe('100')
  expect(errors([...ann.said, ...bob.said])).toEqual([])
})

test('examples/trystero-room: two browsers at two nodes hear each other', async () => {
  const [ann, bob] = await Promise.all([open('trystero-room', 0, 'tea'), open('trystero-room', 1, 'tea')])
  for (const { page } of [ann, bob])
    await page.waitForFunction(() => document.querySelector('#others')?.textContent === '1')
  await ann.page.fill('#text', 'hello')
  await ann.page.click('button')
  await bob.page.waitForFunction(() => document.querySelector('#heard')?.textContent.endsWith(': hello'))
  expect(errors([...ann.said, ...bob.said])).toEqual([])
})
