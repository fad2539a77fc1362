import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { connect, type Peer } from '@peerage/client'
import { programOf } from '@peerage/test-support/documents.js'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startChild, type Child } from '@peerage/test-support/process.js'

// Runs the README's first program in a folder of its own and checks what the README says about it.

const LINE_MS = 20_000

let node: Node
let watcher: Peer
let source: string
let folder: string
const children: Child[] = []

beforeAll(async () => {
  node = await startNode()
  watcher = await connect(node.url, { p2p: false })
  source = programOf('README.md', 'first.mjs')
  expect(source).toContain('http://127.0.0.1:9000')
  folder = await makeDirectory('first-program')
  // The folders that `npm install` makes from the two tarballs.
  await mkdir(join(folder, 'node_modules/@peerage'), { recursive: true })
  for (const name of ['client', 'protocol'])
    await symlink(`${REPOSITORY}packages/${name}`, join(folder, 'node_modules/@peerage', name))
  await symlink(`${REPOSITORY}node_modules/ws`, join(folder, 'node_modules/ws'))
})
afterEach(async () => {
  for (const child of children.splice(0)) await child.stop()
})
afterAll(async () => {
  watcher?.close()
  await node?.stop()
  await removeDirectory(folder)
})

interface Start {
  url?: string
  flags?: string[]
}

async function start(names: string[], { url = node.url, flags = [] }: Start = {}) {
  const file = join(folder, 'first.mjs')
  await writeFile(file, source.replace('http://127.0.0.1:9000', url))
  const child = await startChild({ command: process.execPath, args: [...flags, file, ...names], cwd: folder })
  children.push(child)
  return child
}

async function startAlice(options: Start = {}): Promise<Child> {
  const alice = await start(['alice'], options)
  const isThere = async () => expect((await watcher.lookup(['alice']))[0]?.state).toBe('online')
  await vi.waitFor(isThere, LINE_MS)
  return alice
}

const said = (child: Child, text: string): Promise<string> =>
  child.line((line) => (line.includes(text) ? line : undefined), LINE_MS)

test('after Ctrl-C the names are free at once when the programs start again', async () => {
  for (let round = 0; round < 3; round++) {
    const alice = await startAlice()
    const bob = await start(['bob', 'alice'])
    await said(alice, 'bob: hello')
    await said(alice, 'direct: hello, directly')
    for (const child of [bob, alice]) {
      await child.kill('SIGINT')
      expect(await child.stopped).toEqual({ code: null, signal: 'SIGINT' })
    }
    expect(bob.lines).toEqual([])
  }
})

test('with a wrong address the console says what is wrong while the program tries to connect', async () => {
  const port = await freePort()
  const nobody = await start(['carol'], { url: `http://127.0.0.1:${port}` })
  const line = await said(nobody, 'ECONNREFUSED')
  expect(line).toContain(`127.0.0.1:${port}`)
  expect(line).toContain('Nothing listens there. Is the node running, and is the port right?')
  // A URL without a scheme fails at once.
  const wrong = await start(['carol'], { url: `localhost:${port}` })
  await said(
    wrong,
    `TypeError: url must begin with http://, https://, ws:// or wss://; it is "localhost:${port}"`,
  )
  expect((await wrong.stopped).code).toBe(1)
})

test('without WebRTC the message arrives, and the error of the call says what to install', async () => {
  // With this flag Node resolves packages from the links' folder, which has no node-datachannel.
  const alice = await startAlice()
  const bob = await start(['bob', 'alice'], { flags: ['--preserve-symlinks'] })
  await said(alice, 'bob: hello')
  await said(bob, 'no WebRTC here: install node-datachannel, or pass RTCPeerConnection')
  expect((await bob.stopped).code).toBe(1)
  // Its name is free also after this error.
  expect((await watcher.lookup(['bob']))[0]?.state).toBe('offline')
})
