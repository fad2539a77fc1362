import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { freePort } from '@peerage/test-support/ports.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'

// A browser hides why a WebSocket could not be opened. What can be said is said at once, and again at the end.

let browser: ChromiumBrowser
let script: string

beforeAll(async () => {
  browser = await launchChromium()
  script = await sdkScript()
})

afterAll(() => browser.stop())

interface Told {
  firstMs: number
  messages: string[]
  error: string
  code: string
}

test('[WL6] in Chromium a page learns while it waits that no WebSocket could be opened, and where to', async () => {
  const page = await browser.page('about:blank')
  await page.addScriptTag({ content: script })
  const port = await freePort()
  const told: Told = await page.evaluate(`(async () => {
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
  expect(told.firstMs).toBeLessThan(3_000)
  expect(told.messages[0]).toMatch(
    /^no WebSocket to ws:\/\/127\.0\.0\.1:\d+\/peerage\/ could be opened: this platform does not say why/,
  )
  expect(told).toMatchObject({ code: 'timeout', error: expect.stringContaining(told.messages.at(-1) ?? '?') })
})

test('in Chromium a wrong argument is a rejection that names it', async () => {
  const page = await browser.page('about:blank')
  await page.addScriptTag({ content: script })
  const unhandled: string[] = []
  page.on('pageerror', (error) => unhandled.push(error.message))
  const messages: unknown = await page.evaluate(`Promise.all(
    [[undefined], ['localhost:9000'], ['tier.example'], ['http://tier.example', { nmae: 'x' }]]
      .map((given) => sdk.connect(...given).catch((error) => error.message)))`)
  expect(messages).toEqual([
    'url must be a string; it is undefined',
    expect.stringContaining('did you mean "http://localhost:9000"?'),
    expect.stringContaining('did you mean "http://tier.example"?'),
    expect.stringContaining('did you mean "name"?'),
  ])
  expect(unhandled).toEqual([])
})
