// Makes docs/images/page.png: the page of a node, in Chromium, with a message and a file. Needs a build and Chromium.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'
import { ROOT } from './lib.mjs'

const SIZE = { width: 760, height: 500 }

const node = spawn(process.execPath, [`${ROOT}packages/server/bin/peerage.js`, 'serve', '--port', '9000'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
let url
for await (const line of createInterface({ input: node.stdout })) {
  url = /"url":"([^"]+)".*"msg":"ready"/.exec(line)?.[1]
  if (url !== undefined) break
}
node.stdout.resume()
const executablePath = process.argv[2] ?? '/usr/bin/chromium'
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
try {
  const open = async (address) => {
    const page = await (await browser.newContext({ viewport: SIZE })).newPage()
    await page.goto(address)
    return page
  }
  const say = async (page, text) => {
    await page.getByPlaceholder('Message').fill(text)
    await page.getByRole('button', { name: 'Send' }).first().click()
  }
  const sharer = await open(url)
  const link = await sharer.getByLabel('Link to this page').inputValue()
  const guest = await open(link)
  for (const page of [sharer, guest]) await page.getByText('Connected to the other browser').waitFor()
  await say(guest, 'Hello! Do you have the photos?')
  await sharer.getByText('Do you have the photos?').waitFor()
  await say(sharer, 'Here they are.')
  const file = {
    name: 'photos.zip',
    mimeType: 'application/zip',
    buffer: Buffer.alloc(24 * 1024 * 1024, 'photo'),
  }
  await sharer.locator('input[type=file]').setInputFiles(file)
  await sharer.getByText('Complete').waitFor()
  await sharer.evaluate(() => scrollTo(0, 0))
  await sharer.screenshot({ fullPage: true, path: `${ROOT}docs/images/page.png` })
} finally {
  await browser.close()
  node.kill()
  await once(node, 'close')
}
