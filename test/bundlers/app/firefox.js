// Runs esbuild's output in Firefox with puppeteer-core. Arguments: Firefox's path, and `parts` or `worker`.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import puppeteer from 'puppeteer-core'

const [executablePath, what] = process.argv.slice(2)
const nodeUrl = process.env.SERVER_URL
/** How often the server refuses the SDK's file for P2P. */
const REFUSED = 3
let asked = 0

const files = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://x')
  if (pathname.startsWith('/p2p-') && asked++ < REFUSED) return response.writeHead(503).end()
  if (pathname === '/favicon.ico') return response.writeHead(404).end()
  const isPage = !pathname.endsWith('.js')
  response.setHeader('content-type', isPage ? 'text/html' : 'text/javascript')
  if (isPage) return response.end(`<!doctype html><script type="module" src="${pathname}.js"></script>`)
  return response.end(readFileSync(`out-web${pathname}`))
})
await new Promise((resolve) => files.listen(0, '127.0.0.1', resolve))
const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true })
try {
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${files.address().port}/${what}`)
  console.log('RESULT', await (what === 'parts' ? loadParts(page) : askWorker(page)))
} finally {
  await browser.close()
  files.close()
}

async function loadParts(page) {
  await page.waitForFunction(() => 'tryOut' in globalThis)
  return `${await page.evaluate((url) => globalThis.tryOut(url, 30_000), nodeUrl)}, asked ${asked} times`
}

function askWorker(page) {
  return page.evaluate(async (url) => {
    await navigator.serviceWorker.register('worker.js', { type: 'module' })
    const { active } = await navigator.serviceWorker.ready
    return new Promise((resolve) => {
      navigator.serviceWorker.addEventListener('message', ({ data }) => resolve(data))
      navigator.serviceWorker.startMessages()
      active.postMessage(url, [])
    })
  }, nodeUrl)
}
