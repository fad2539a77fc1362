import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchFirefox, type FirefoxBrowser } from './firefox.js'

let firefox: FirefoxBrowser
const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Peerage</h1>')
})
let url = ''

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  firefox = await launchFirefox()
})
afterAll(async () => {
  await firefox.stop()
  server.closeAllConnections()
  server.close()
})

test('Firefox opens a page, and contexts share nothing', async () => {
  const [one, other] = [await firefox.page(url), await firefox.page(url)]
  expect(await one.evaluate(`document.querySelector('h1').textContent`)).toBe('Peerage')
  await one.evaluate(`localStorage.setItem('name', 'alice')`)
  expect(await other.evaluate(`localStorage.getItem('name')`)).toBeNull()
})

test('its host candidates are plain addresses', async () => {
  const page = await firefox.page(url)
  const candidates = await page.evaluate(`(async () => {
    const connection = new RTCPeerConnection()
    connection.createDataChannel('test')
    const found = []
    const gathered = new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) =>
        candidate?.candidate ? found.push(candidate.candidate) : resolve()
    })
    await connection.setLocalDescription()
    await gathered
    return found
  })()`)
  expect(JSON.stringify(candidates)).toMatch(/ \d+\.\d+\.\d+\.\d+ \d+ typ host/)
  expect(JSON.stringify(candidates)).not.toContain('.local')
})
