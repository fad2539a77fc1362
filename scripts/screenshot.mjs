// Makes docs/images/page.png: the page of a node, in Chromium, with a guest that has got two files. Needs a build and
// Chromium. The node listens beyond loopback meanwhile, because the page shows a QR code only for such an address.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'
import { ROOT } from './lib.mjs'

const SIZE = { width: 960, height: 700 }
const PORT = 9000

const own = Object.values(networkInterfaces())
  .flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal)
if (own === undefined) throw new Error('this machine has no IPv4 address beyond loopback')
const url = `http://${own.address}:${PORT}`
const flags = ['serve', '--port', String(PORT), '--host', '0.0.0.0', '--open']
const node = spawn(process.execPath, [`${ROOT}packages/server/bin/peerage.js`, ...flags], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
for await (const line of createInterface({ input: node.stdout })) if (line.includes('"msg":"ready"')) break
node.stdout.resume()
const executablePath = process.argv[2] ?? '/usr/bin/chromium'
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', `--unsafely-treat-insecure-origin-as-secure=${url}`],
})
try {
  const open = async (address) => {
    const page = await (await browser.newContext({ viewport: SIZE })).newPage()
    await page.goto(address)
    return page
  }
  const host = await open(url)
  const link = await host.getByLabel('Link to this share').inputValue()
  await host
    .locator('[data-pick=files]')
    .first()
    .setInputFiles([
      { name: 'Beach at noon.jpg', mimeType: 'image/jpeg', buffer: Buffer.alloc(4_200_000, 'photo') },
      { name: 'Travel plan.pdf', mimeType: 'application/pdf', buffer: Buffer.alloc(380_000, 'plan') },
    ])
  const guest = await open(link)
  await guest.getByRole('radio', { name: 'Keep in this browser' }).check()
  await guest.getByRole('button', { name: /^Get \d/ }).click()
  await guest.getByRole('link', { name: 'Save Travel plan.pdf' }).waitFor()
  await guest.getByText('Send a text or files').click()
  await guest.getByLabel('Text', { exact: true }).fill('Thank you! The photo is lovely.')
  await guest.getByRole('button', { name: 'Send', exact: true }).click()
  await host.getByText('The photo is lovely').waitFor()
  await host.screenshot({ fullPage: true, animations: 'disabled', path: `${ROOT}docs/images/page.png` })
} finally {
  await browser.close()
  node.kill()
  await once(node, 'close')
}
