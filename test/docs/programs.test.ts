import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '@peerage/client'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { programOf } from '@peerage/test-support/documents.js'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startChild } from '@peerage/test-support/process.js'

// Programs of the documents that need a framework or a browser. The others run in docs/programs.test.ts.

const LINE_MS = 20_000

test('docs/server.md: express-server.mjs serves its own routes and takes peers', async () => {
  const folder = await mkdtemp(join(REPOSITORY, 'node_modules', '.programs-'))
  const port = await freePort()
  const program = programOf('docs/server.md', 'express-server.mjs').replace('8080', String(port))
  await writeFile(join(folder, 'express-server.mjs'), program)
  const child = await startChild({ command: process.execPath, args: ['express-server.mjs'], cwd: folder })
  try {
    await child.line((line) => (line === 'listening' ? line : undefined), LINE_MS)
    const url = `http://127.0.0.1:${port}`
    expect(await (await fetch(`${url}/orders`)).json()).toEqual([{ id: 1, item: 'tea' }])
    const [alice, bob] = [await connect(url, { name: 'alice' }), await connect(url, { name: 'bob' })]
    const heard: unknown[] = []
    alice.on('message', (from, data) => heard.push(`${from}: ${String(data)}`))
    await bob.send('alice', 'hello')
    expect(heard).toEqual(['bob: hello'])
    await Promise.all([alice.leave(), bob.leave()])
  } finally {
    await child.stop()
    await rm(folder, { recursive: true })
  }
})

let node: Node
let chromium: ChromiumBrowser
let site: Server

beforeAll(async () => {
  node = await startNode()
  chromium = await launchChromium()
  site = createServer((request, response) => {
    const file = request.url?.slice(1) ?? ''
    response.setHeader('content-type', 'text/html')
    response.end(
      /^(?:module|script)\.html$/.test(file)
        ? programOf('docs/sdk.md', file).replaceAll('http://127.0.0.1:9000', node.url)
        : '',
    )
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  await chromium?.stop()
  site?.closeAllConnections()
  site?.close()
  await node?.stop()
})

test.each(['module.html', 'script.html'])(
  'docs/sdk.md: %s is a peer, in a page of another origin',
  async (file) => {
    const page = await chromium.page()
    const said = listen(page)
    await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/${file}`)
    await page.waitForFunction(() => document.title !== '')
    const watcher = await connect(node.url, { p2p: false })
    expect((await watcher.lookup([await page.title()]))[0]?.state).toBe('online')
    await watcher.leave()
    expect(said).toEqual([])
  },
)
