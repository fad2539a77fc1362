import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { freePort } from '@peerage/test-support/ports.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'

// A browser hides why a WebSocket could not be opened. The SDK reports what it knows at once, and again at the end.

let browser: ChromiumBrowser
let script: string

beforeAll(async () => {
  browser = await launchChromium()
  script = await sdkScript()
})

afterAll(() => browser.stop())

interface Report {
  firstMs: number
  messages: string[]
  error: string
  code: string
}

test('[WL6] in Chromium a waiting page is told that no WebSocket could be opened, and to which URL', async () => {
  const page = await browser.page('about:blank')
  await page.addScriptTag({ content: script })
  const port = await freePort()
  const report: Report = await page.evaluate(`(async () => {
    const began = performance.now()
    const messages = []
    let firstMs = Infinity
    const onRetry = ({ error }) => {
      firstMs = Math.min(firstMs, performance.now() - began)
      messages.push(error.message)
    }
    const error = await sdk.connect('http://127.0.0.1:${port}', { timeoutMs: 3_000, onRetry }).catch((error) => error)
    return { firstMs, messages, error: error.message, code: error.code }
  })()`)
  expect(report.firstMs).toBeLessThan(3_000)
  expect(report.messages[0]).toMatch(
    /^no WebSocket to ws:\/\/127\.0\.0\.1:\d+\/peerage\/ could be opened: this platform does not say why/,
  )
  expect(report).toMatchObject({
    code: 'timeout',
    error: expect.stringContaining(report.messages.at(-1) ?? '?'),
  })
})

test('in Chromium connect rejects a wrong argument and names it', async () => {
  const page = await browser.page('about:blank')
  await page.addScriptTag({ content: script })
  const unhandled: string[] = []
  page.on('pageerror', (error) => unhandled.push(error.message))
  const messages: unknown = await page.evaluate(`Promise.all(
    [[undefined], ['localhost:9000'], ['server.example'], ['http://server.example', { nmae: 'x' }]]
      .map((given) => sdk.connect(...given).catch((error) => error.message)))`)
  expect(messages).toEqual([
    'url must be a string; it is undefined',
    expect.stringContaining('did you mean "http://localhost:9000"?'),
    expect.stringContaining('did you mean "http://server.example"?'),
    expect.stringContaining('did you mean "name"?'),
  ])
  expect(unhandled).toEqual([])
})
