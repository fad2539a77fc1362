import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { connect } from '@peerage/client'
import { verifyTurnCredentials } from '@peerage/stun'
import { blocksOf, documents, inlineCodeOf, programOf } from '@peerage/test-support/documents.js'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startChild, type Child } from '@peerage/test-support/process.js'

// The programs of the documents, as they stand there, but for addresses: against one node, or as one.

const LINE_MS = 20_000
const SLOW_MS = 60_000

/** Programs that a browser or an installed framework runs: test/docs/programs.test.ts. */
const ELSEWHERE = ['express-server.mjs', 'module.html', 'script.html']

let node: Node
let folder: string
const children: Child[] = []
const ran = new Set<string>()

beforeAll(async () => {
  node = await startNode({
    args: ['--admin-port', '0'],
    // The paths of the API exist only with a key.
    env: { PEERAGE_API_KEYS: 'a-key-of-24-letters-or-more' },
  })
  // Below the root, so that the programs find the packages as any program here does.
  folder = await mkdtemp(join(REPOSITORY, 'node_modules', '.programs-'))
}, SLOW_MS)
afterEach(async () => {
  // Their names are those of the next program, too: so they end as by Ctrl-C.
  for (const child of children) await child.kill('SIGINT')
  await Promise.all(children.splice(0).map((child) => child.stopped))
})
afterAll(async () => {
  await node?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Starts a program of a document. `port`: where it listens, if it is a server. */
async function start(
  document: string,
  file: string,
  args: readonly string[] = [],
  port?: number,
): Promise<Child> {
  ran.add(file)
  const text = programOf(document, file).replaceAll('http://127.0.0.1:9000', node.url)
  await writeFile(join(folder, file), text.replaceAll('8080', String(port)))
  const child = await startChild({ command: process.execPath, args: [file, ...args], cwd: folder })
  children.push(child)
  return child
}

const said = (child: Child, text: string): Promise<string> =>
  child.line((line) => (line.includes(text) ? line : undefined), LINE_MS)

async function untilOnline(name: string): Promise<void> {
  const watcher = await connect(node.url, { p2p: false })
  await expect.poll(async () => (await watcher.lookup([name]))[0]?.state, { timeout: LINE_MS }).toBe('online')
  await watcher.leave()
}

test.each([
  ['README.md', 'first.mjs'],
  ['packages/client/README.md', 'client.mjs'],
])(
  '%s: %s, started twice',
  async (document, file) => {
    const alice = await start(document, file, ['alice'])
    await untilOnline('alice')
    await start(document, file, ['bob', 'alice'])
    await said(alice, 'bob: hello')
    await said(alice, 'direct: hello, directly')
  },
  SLOW_MS,
)

test(
  'docs/sdk.md: restart.mjs is the same peer after it was killed',
  async () => {
    const first = await start('docs/sdk.md', 'restart.mjs')
    const line = await said(first, 'carol since ')
    await first.kill('SIGKILL')
    await first.stopped
    const second = await start('docs/sdk.md', 'restart.mjs')
    expect(await said(second, 'carol since ')).toBe(line)
  },
  SLOW_MS,
)

test(
  'docs/sdk.md: send.mjs says how its message ended',
  async () => {
    const early = await start('docs/sdk.md', 'send.mjs')
    await said(early, 'unavailable not delivered to dave')
    expect((await early.stopped).code).toBe(0)
    const dave = await connect(node.url, { name: 'dave' })
    const heard: unknown[] = []
    dave.on('message', (_, data) => heard.push(data))
    const late = await start('docs/sdk.md', 'send.mjs')
    await said(late, 'dave has it')
    expect(heard).toEqual([{ any: 'JSON' }])
    await dave.leave()
  },
  SLOW_MS,
)

test(
  'docs/share.md: share-file.mjs shares the file that it is given, and get-file.mjs receives it',
  async () => {
    const sender = await start('docs/share.md', 'share-file.mjs', ['share-file.mjs'])
    const link = await said(sender, `${node.url}/?peer_id=`)
    const receiver = await start('docs/share.md', 'get-file.mjs', [link])
    expect((await receiver.stopped).code).toBe(0)
    const [sent, received] = ['share-file.mjs', 'received/share-file.mjs'].map((file) =>
      readFileSync(join(folder, file), 'utf8'),
    )
    expect(received).toBe(sent)
  },
  SLOW_MS,
)

test(
  'docs/sdk.md: room.mjs, started twice',
  async () => {
    const ann = await start('docs/sdk.md', 'room.mjs', ['ann'])
    await said(ann, 'members: ann')
    const ben = await start('docs/sdk.md', 'room.mjs', ['ben'])
    await said(ben, 'members:')
    await said(ann, 'ben joined')
    await said(ann, 'ben: good evening')
  },
  SLOW_MS,
)

test(
  'docs/sdk.md: verified.mjs opens a channel to a peer with the same secret, and to no other',
  async () => {
    const ann = await start('docs/sdk.md', 'verified.mjs', ['ann', 'one'])
    await untilOnline('ann')
    const eve = await start('docs/sdk.md', 'verified.mjs', ['eve', 'two', 'ann'])
    await said(eve, 'stage not-verified')
    const ben = await start('docs/sdk.md', 'verified.mjs', ['ben', 'one', 'ann'])
    await said(ben, 'verified ann')
    expect(await said(ann, 'verified')).toBe('verified ben')
  },
  SLOW_MS,
)

/** Two ports side by side: the P2P server takes the second one. */
async function startServer(document: string, file: string): Promise<{ child: Child; url: string }> {
  const port = await freePort()
  const child = await start(document, file, [], port)
  await child.line((line) => (line === 'listening' ? line : undefined), LINE_MS)
  return { child, url: `http://127.0.0.1:${port}` }
}

test(
  'docs/server.md: server.mjs lets in who has the token, and drains on SIGTERM',
  async () => {
    const { child, url } = await startServer('docs/server.md', 'server.mjs')
    expect(await (await fetch(url)).text()).toBe('my application\n')
    await expect(connect(url, { token: 'wrong' })).rejects.toThrow('the token is wrong')
    const peer = await connect(url, { token: 'open sesame', name: 'alice' })
    expect(peer.p2p?.p2pServer).toBe(`127.0.0.1:${Number(new URL(url).port) + 1}`)
    await peer.leave()
    await child.kill('SIGTERM')
    expect((await child.stopped).code).toBe(0)
  },
  SLOW_MS,
)

test(
  'docs/server.md: signed-tokens.mjs lets each peer have its own name',
  async () => {
    const { url } = await startServer('docs/server.md', 'signed-tokens.mjs')
    const token = await (await fetch(`${url}/?name=ann`)).text()
    const ann = await connect(url, { name: 'ann', token })
    await ann.leave()
    await expect(connect(url, { name: 'ben', token })).rejects.toMatchObject({ code: 'forbidden' })
  },
  SLOW_MS,
)

test(
  'docs/wires.md: ice-servers.mjs makes credentials that a TURN server takes',
  async () => {
    const secret = 'a-secret-of-this-test'
    await writeFile(join(folder, 'turn-secret'), `${secret}\n`)
    const { url } = await startServer('docs/wires.md', 'ice-servers.mjs')
    const [, turn]: Record<string, string>[] = JSON.parse(await (await fetch(url)).text())
    const { username = '', credential: password = '' } = turn ?? {}
    const verdict = verifyTurnCredentials({ username, password, secrets: [secret], nowMs: Date.now() })
    expect(verdict).toMatchObject({ ok: true })
  },
  SLOW_MS,
)

test(
  'packages/server/README.md: node.mjs takes peers, and drains on SIGTERM',
  async () => {
    const { child, url } = await startServer('packages/server/README.md', 'node.mjs')
    const peer = await connect(url, { name: 'alice' })
    await peer.leave()
    await child.kill('SIGTERM')
    expect((await child.stopped).code).toBe(0)
  },
  SLOW_MS,
)

test('every program of the documents runs here, or in test/docs/programs.test.ts', async () => {
  const files = (await documents()).flatMap(blocksOf).flatMap(({ file }) => file ?? [])
  expect([...ran, ...ELSEWHERE].sort()).toEqual(files.sort())
})

/** The routes of applications in docs/frameworks.md, and the `path` of examples. */
const OF_APPLICATIONS = ['/hello', '/own', '/tier', '/tier/', '/calls']
/** A GET of these is 404, because they take only WebSockets. Their clients connect to them in tests. */
const SOCKETS = ['/peerage/', '/peerjs']
/** Paths of servers that a node replaces: matchbox_server and bittorrent-tracker. */
const OF_OTHERS = ['/health', '/stats']
/** Below these is an app or a room. */
const SOCKETS_BELOW = ['/y-webrtc', '/announce', '/trystero', '/matchbox']

test('the HTTP paths that documents name exist', async () => {
  const read = (file: string): string => readFileSync(join(REPOSITORY, file), 'utf8')
  const entries: string[] = Object.keys(JSON.parse(read('packages/client/package.json')).exports)
  const bundler = read('scripts/bundle.mjs')
  const exists = async (path: string): Promise<boolean> => {
    // A node without the whole build has no such files, so we look where they are made.
    const [, file] = /^\/client\/(.+)$/.exec(path) ?? []
    if (file !== undefined) return file === '…' || bundler.includes(`'${file.replace(/-\d+\.\d+\.\d+/, '')}'`)
    const answers = await Promise.all([node.url, node.admin].map((url) => fetch(`${url}${path}`)))
    return answers.some(({ status }) => status !== 404)
  }
  const named = (await documents()).flatMap((document) =>
    inlineCodeOf(document)
      .flatMap((code) => code.split(' '))
      .filter((word) => /^(?:\/(?!tmp\/)|\{path\})/.test(word))
      .map((word) => ({ document, path: word.replace('{path}', '/').replace('{key}', 'peerjs') })),
  )
  expect(named.length).toBeGreaterThan(30)
  const missing = new Set<string>()
  for (const path of new Set(named.map((one) => one.path))) {
    const isOther =
      [...OF_APPLICATIONS, ...OF_OTHERS, ...SOCKETS].includes(path) ||
      SOCKETS_BELOW.some((socket) => path === socket || path.startsWith(`${socket}/`)) ||
      entries.includes(`.${path}`)
    if (!isOther && !(await exists(path))) missing.add(path)
  }
  expect(named.filter(({ path }) => missing.has(path))).toEqual([])
})
