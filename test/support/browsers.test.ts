import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from './chromium.js'
import { launchFirefox, type FirefoxBrowser } from './firefox.js'

/** The methods that both browsers' fixtures share. */
interface Browser {
  page(url: string): Promise<{ evaluate(script: string): Promise<unknown> }>
}

const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Peerage</h1>')
})
let url = ''
let chromium: ChromiumBrowser
let firefox: FirefoxBrowser

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  ;[chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()])
})
afterAll(async () => {
  await Promise.all([chromium.stop(), firefox.stop()])
  server.closeAllConnections()
  server.close()
})

describe.each<[string, () => Browser]>([
  ['Chromium', () => chromium],
  ['Firefox', () => firefox],
])('%s', (_, started) => {
  test('a page opens, and contexts share no storage', async () => {
    const browser = started()
    const [one, other] = [await browser.page(url), await browser.page(url)]
    expect(await one.evaluate(`document.querySelector('h1').textContent`)).toBe('Peerage')
    await one.evaluate(`localStorage.setItem('name', 'alice')`)
    expect(await other.evaluate(`localStorage.getItem('name')`)).toBeNull()
  })

  test('the host candidates are plain addresses', async () => {
    const page = await started().page(url)
    const candidates = await page.evaluate(`(async () => {
      const connection = new RTCPeerConnection()
      connection.createDataChannel('probe')
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
})

test('Chromium: the lines of the console are collected', async () => {
  const page = await chromium.page()
  const said = listen(page)
  await page.goto(url)
  await page.evaluate(() => console.log('hello'))
  await expect.poll(() => said).toContain('log: hello')
})

test('Chromium: the fake camera gives a stream', async () => {
  const page = await chromium.page(url)
  const tracks = await page.evaluate(async () => {
    const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true })
    return stream.getTracks().map((track) => track.kind)
  })
  expect(tracks.sort()).toEqual(['audio', 'video'])
})
