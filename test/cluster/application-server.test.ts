import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, type Peer, type PeerState } from '@peerage/client'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import { startChild, type Child } from '@peerage/test-support/process.js'

// Runs the program of examples/application-server as its README says.

const DEADLINE_MS = 20_000
const API_KEY = 'an-api-key-of-this-trial'

let node: Node
let server: Child
let url: string
const peers: Peer[] = []

async function startServer(): Promise<{ child: Child; line: string }> {
  const child = await startChild({
    command: process.execPath,
    args: [`${REPOSITORY}examples/application-server/server.mjs`],
    env: { PORT: '0', PEERAGE_URL: node.url, API_KEY },
  })
  const line = await child.line((text) => (text.startsWith('listening') ? text : undefined), DEADLINE_MS)
  return { child, line }
}

beforeAll(async () => {
  node = await startNode({
    args: ['--access-mode', 'token', '--access-token-algorithms', 'HS256'],
    env: { PEERAGE_ACCESS_TOKEN_SECRET: 'a-secret-of-this-trial-32-bytes-long', PEERAGE_API_KEYS: API_KEY },
  })
  const { child, line } = await startServer()
  server = child
  url = `http://127.0.0.1:${/port (\d+)/.exec(line)?.[1]}`
})
afterAll(async () => {
  for (const peer of peers) peer.close()
  await server?.stop()
  await node?.stop()
})

async function ask(path: string, session: string, body?: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}${path}`, {
    method: path === '/online' ? 'GET' : 'POST',
    headers: { cookie: `session=${session}` },
    body: body === undefined ? null : JSON.stringify(body),
  })
  return { status: response.status, text: await response.text() }
}

async function peerOf(name: string, session: string): Promise<Peer> {
  const token = async (): Promise<string> => (await ask('/token', session)).text
  const peer = await connect(node.url, { name, token, storage: null, p2p: false })
  peers.push(peer)
  return peer
}

test('it lets its people in, lists them, sends to one, and bans one', async () => {
  const [ann, bob] = [await peerOf('ann', 'session-1'), await peerOf('bob', 'session-2')]
  expect((await ask('/online', 'session-1')).text.split('\n').sort()).toEqual(['ann', 'bob'])

  const heard = new Promise((resolve) =>
    bob.on('message', (_, data, { server: mark }) => resolve({ data, mark })),
  )
  expect(await ask('/message', 'session-1', { to: 'bob', text: 'hello' })).toEqual({
    status: 200,
    text: 'delivered',
  })
  expect(await heard).toEqual({ data: { from: 'ann', text: 'hello' }, mark: true })

  const closed = new Promise<PeerState>((resolve) =>
    bob.on('state', (state) => state.state === 'closed' && resolve(state)),
  )
  expect((await ask('/ban', 'session-1', { whom: 'bob', minutes: 5 })).status).toBe(200)
  expect(await closed).toMatchObject({ reason: 'disconnected', detail: 'banned by ann' })
  await expect(peerOf('bob', 'session-2')).rejects.toMatchObject({ code: 'banned' })
  expect(ann.state.state).toBe('online')
})

test('it refuses strangers, and people who may not ban', async () => {
  expect((await ask('/token', 'session-3')).status).toBe(403)
  expect((await ask('/ban', 'session-2', { whom: 'ann', minutes: 5 })).status).toBe(403)
  expect((await ask('/message', 'session-1', { to: '' })).status).toBe(400)
  await expect(connect(node.url, { name: 'eve', storage: null, p2p: false })).rejects.toMatchObject({
    code: 'bad-token',
  })
})

test('a second server sees the first one, until that has stopped', async () => {
  const second = await startServer()
  expect(second.line).toContain('servers of this app: 2')
  await second.child.kill('SIGTERM')
  expect(await second.child.stopped).toMatchObject({ code: 0 })
  const third = await startServer()
  expect(third.line).toContain('servers of this app: 2')
  await third.child.stop()
})
