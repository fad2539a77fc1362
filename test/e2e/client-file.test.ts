import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'

// Pages of another origin that load the SDK as one file, without a bundler.

let node: Node
let chromium: ChromiumBrowser
let site: Server
let copy: Buffer
const said: string[] = []

beforeAll(async () => {
  copy = await readFile(`${REPOSITORY}packages/client/dist/bundle/peerage.global.js`)
  node = await startNode({ args: ['--no-page'] })
  chromium = await launchChromium()
  site = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://site')
    const isScript = url.pathname === '/peerage.global.js'
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' })
    response.end(isScript ? copy : pageOf(url))
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
})

afterAll(async () => {
  await chromium?.stop()
  site?.closeAllConnections()
  site?.close()
  await node?.stop()
})

/** `as` says how the page loads the SDK, and is its name. The page shows received messages in its title. */
function pageOf({ searchParams }: URL): string {
  const as = searchParams.get('as') ?? ''
  const work = `
    const peer = await connect('${node.url}', { name: '${as}' })
    peer.on('message', (from, data) => (document.title = from + ': ' + data))
    globalThis.send = async (to, via) => {
      if (via === 'p2p-only') await peer.p2p.connect(to)
      await peer.send(to, 'hello from ${as}', { via })
    }
    document.title = 'online'`
  const integrity = searchParams.get('integrity') ?? ''
  const start = `<script>(async () => { const { connect } = Peerage; ${work} })()</script>`
  switch (as) {
    case 'module':
      return `<script type="module">import { connect } from '${node.url}/client/peerage.js'; ${work}</script>`
    case 'global':
      return `<script src="${node.url}/client/peerage.global.js"></script>${start}`
    default:
      return `<script src="/peerage.global.js" integrity="${integrity}" crossorigin></script>${start}`
  }
}

async function open(query: string): Promise<Page> {
  const page = await chromium.page()
  said.push(...listen(page))
  await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/?as=${query}`)
  return page
}

const hasTitle = (page: Page, title: string): Promise<unknown> =>
  page.waitForFunction((wanted) => document.title === wanted, title)

const send = (page: Page, to: string, via: string): Promise<unknown> =>
  page.evaluate(
    ([name, path]) =>
      (Reflect.get(globalThis, 'send') as (to: unknown, via: unknown) => Promise<unknown>)(name, path),
    [to, via],
  )

test('pages with a module and a script tag from the node send to each other, through the node and directly', async () => {
  const [module, global] = [await open('module'), await open('global')]
  for (const page of [module, global]) await hasTitle(page, 'online')
  await send(module, 'global', 'server')
  await hasTitle(global, 'module: hello from module')
  await send(global, 'module', 'p2p-only')
  await hasTitle(module, 'global: hello from global')
  expect(said).toEqual([])
})

test('subresource integrity of an own copy: the right hash loads it, and a wrong hash does not', async () => {
  const hash = createHash('sha384').update(copy).digest('base64')
  const good = await open(`copy&integrity=${encodeURIComponent(`sha384-${hash}`)}`)
  await hasTitle(good, 'online')
  const wrong = createHash('sha384').update('another file').digest('base64')
  const bad = await open(`other&integrity=${encodeURIComponent(`sha384-${wrong}`)}`)
  expect(await bad.evaluate(() => 'Peerage' in globalThis)).toBe(false)
})

test('the node serves the same bytes as the package, so the hash is valid for both', async () => {
  const answer = await fetch(`${node.url}/client/peerage.global.js`)
  expect(answer.url).toMatch(/\/client\/peerage-\d[\w.+-]*\.global\.js$/)
  expect(Buffer.from(await answer.arrayBuffer()).equals(copy)).toBe(true)
})
