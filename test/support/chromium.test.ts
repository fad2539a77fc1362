import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from './chromium.js'

let chromium: ChromiumBrowser
const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Peerage</h1>')
})
let url = ''

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  chromium = await launchChromium()
})
afterAll(async () => {
  await chromium.stop()
  server.closeAllConnections()
  server.close()
})

test('Chromium opens a page, and what the page says is heard', async () => {
  const page = await chromium.page()
  const said = listen(page)
  await page.goto(url)
  expect(await page.textContent('h1')).toBe('Peerage')
  await page.evaluate(() => console.log('hello'))
  await expect.poll(() => said).toContain('log: hello')
})

test('contexts share nothing', async () => {
  const [one, other] = [await chromium.page(url), await chromium.page(url)]
  await one.evaluate(() => localStorage.setItem('name', 'alice'))
  expect(await other.evaluate(() => localStorage.getItem('name'))).toBeNull()
})

test('host candidates are plain addresses, and the fake camera gives a stream', async () => {
  const page = await chromium.page(url)
  const candidates = await page.evaluate(async () => {
    const connection = new RTCPeerConnection()
    connection.createDataChannel('probe')
    const found: string[] = []
    const gathered = new Promise<void>((resolve) => {
      connection.addEventListener('icecandidate', ({ candidate }) => {
        if (candidate === null) resolve()
        else found.push(candidate.candidate)
      })
    })
    await connection.setLocalDescription()
    await gathered
    return found
  })
  expect(candidates.length).toBeGreaterThan(0)
  expect(candidates.filter((candidate) => candidate.includes('.local'))).toEqual([])
  const tracks = await page.evaluate(async () => {
    const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true })
    return stream.getTracks().map((track) => track.kind)
  })
  expect(tracks.sort()).toEqual(['audio', 'video'])
})
