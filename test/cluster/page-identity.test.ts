import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { launchChromium } from '@peerage/test-support/chromium.js'
import type { ChromiumBrowser, Context } from '@peerage/test-support/chromium.js'
import { startNode } from '@peerage/test-support/node.js'
import type { Node } from '@peerage/test-support/node.js'
import { sdkScript } from '@peerage/test-support/sdk-script.js'

// How sessionStorage, locks, reloads and duplicated tabs affect the name of a real page that embeds the SDK.
// This concerns only the page and its browser, so one node without Redis is enough.

const SECURE = 'http://localhost/'
/** Not a secure context, so browsers offer no locks. */
const PLAIN = 'http://peerage.test/'
/** A page that gets no `pagehide` event, as when its process is killed. */
const CRASHING = 'crashing'
/** A page whose sessionStorage is full before the SDK starts. */
const FULL = 'full'
/** Followed by an operation of the storage and the number of its first call that throws. */
const FAILING = 'failing'

let node: Node
let browser: ChromiumBrowser
let html: string
let ann: Peer

beforeAll(async () => {
  node = await startNode()
  browser = await launchChromium({
    flags: ['--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests'],
  })
  html = `<!doctype html><script>${await sdkScript()}
    if (location.hash === '#${CRASHING}')
      addEventListener('pagehide', (event) => event.stopImmediatePropagation(), true)
    if (location.hash === '#${FULL}')
      for (let length = 2 ** 23; length >= 1; length /= 2)
        try {
          for (;;) sessionStorage.setItem('x' + Math.random(), 'x'.repeat(length))
        } catch {}
    const [, operation, from] = location.hash.split('-')
    if (location.hash.startsWith('#${FAILING}')) {
      const real = Storage.prototype[operation]
      let calls = 0
      Storage.prototype[operation] = function (...args) {
        if (calls++ >= Number(from)) throw new DOMException('no', 'QuotaExceededError')
        return real.apply(this, args)
      }
    }
    window.got = []
    window.ready = sdk.connect('${node.url}', { p2p: false }).then((peer) => {
      window.peer = peer
      peer.on('message', (_from, data) => got.push(data))
      return { name: peer.name, since: peer.since, locks: !!navigator.locks }
    })
  </script>`
  ann = await connect(node.url, { p2p: false })
})

afterAll(async () => {
  ann.close()
  await browser.stop()
  await node.stop()
})

interface Identity {
  name: string
  since: number
  locks: boolean
}

const identityOf = (page: Page): Promise<Identity> => page.evaluate('window.ready')
const gotBy = (page: Page): Promise<unknown[]> => page.evaluate('window.got')

async function open(): Promise<Context> {
  const context = await browser.context()
  await context.context.route(/^http:\/\/(localhost|peerage\.test)\/$/, (route) =>
    route.fulfill({ contentType: 'text/html', body: html }),
  )
  return context
}

/** A window that a page opens starts with a copy of its sessionStorage, as with the browser's "duplicate tab". */
async function duplicate(context: Context, page: Page): Promise<Page> {
  const opened = context.context.waitForEvent('page')
  await page.evaluate('void window.open(location.href)')
  return opened
}

test.each([
  [SECURE, true],
  [PLAIN, false],
])(
  '[I8] [WD7] at %s a reloaded page keeps its name and gets no message twice; a duplicated tab is another peer',
  async (url, locks) => {
    const context = await open()
    const page = await context.page(url)
    const first = await identityOf(page)
    expect(first.locks).toBe(locks)
    await ann.send(first.name, 1)
    expect(await gotBy(page)).toEqual([1])
    const sends = Promise.all([2, 3].map((data) => ann.send(first.name, data)))
    await page.reload()
    expect(await identityOf(page)).toEqual(first)
    await sends
    await ann.send(first.name, 4)
    expect((await gotBy(page)).at(-1)).toBe(4)
    expect(await gotBy(page)).not.toContain(1)

    const copy = await duplicate(context, page)
    const second = await identityOf(copy)
    expect(second.name).not.toBe(first.name)
    await Promise.all([page.reload(), copy.reload()])
    expect(await identityOf(page)).toEqual(first)
    expect(await identityOf(copy)).toEqual(second)
    await context.close()
  },
)

test('[I8] with locks, a page that ends without a pagehide event gets its name back', async () => {
  const context = await open()
  const page = await context.page(`${SECURE}#${CRASHING}`)
  const first = await identityOf(page)
  await page.reload()
  expect(await identityOf(page)).toEqual(first)
  await context.close()
})

// If the storage fails, the name may be lost at a reload, but messages arrive.
test.each([
  FULL,
  ...['getItem', 'setItem', 'removeItem'].flatMap((operation) =>
    [0, 1, 2].map((from) => `${FAILING}-${operation}-${from}`),
  ),
])('[WL9] a page whose sessionStorage fails (%s) connects and gets each message once', async (hash) => {
  for (const url of [SECURE, PLAIN]) {
    const context = await open()
    const page = await context.page(`${url}#${hash}`)
    const { name } = await identityOf(page)
    await ann.send(name, 1)
    await ann.send(name, 2)
    expect(await gotBy(page)).toEqual([1, 2])
    await page.reload()
    await identityOf(page)
    await context.close()
  }
})
