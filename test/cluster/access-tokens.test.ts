import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT, type JWTPayload } from 'jose'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { connect, type ConnectOptions, type Peer, type PeerState } from '@peerage/client'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'

// Access tokens of two apps, over three nodes.

const SECRETS = {
  chat: 'the secret of the chat, at least 32 bytes',
  games: 'the secret of the games, 32 bytes too',
}
type App = keyof typeof SECRETS

const access = (app: App): string =>
  `{ mode: token, token: { algorithms: [HS256], secret: ${JSON.stringify(SECRETS[app])} } }`
const FILE = `
defaultApp: chat
apps:
  chat: { access: ${access('chat')}, discovery: true }
  games: { access: ${access('games')}, peerjsKeys: [games-key] }
`

let redis: RedisServer
let nodes: Node[]
let directory: string
const peers: { close(): unknown }[] = []
/** Every token that a client has shown. */
const tokens: string[] = []

beforeAll(async () => {
  redis = await startRedis()
  directory = await makeDirectory('access-tokens')
  const config = join(directory, 'peerage.yaml')
  await writeFile(config, FILE)
  nodes = await startNodes(3, { redisUrl: redis.url, args: ['--config', config, '--log-level', 'debug'] })
})
afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.close()
})
afterAll(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
  if (directory !== undefined) await removeDirectory(directory)
})

const urlOf = (node: number): string => nodes[node]?.url ?? ''

async function tokenOf(
  sub: string,
  { app = 'chat', seconds = 600, ...claims }: { app?: App; seconds?: number } & JWTPayload = {},
): Promise<string> {
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setAudience(app)
    .setExpirationTime(Math.floor(Date.now() / 1_000) + seconds)
    .sign(Buffer.from(SECRETS[app]))
  tokens.push(token)
  return token
}

async function enter(node: number, name: string, options: ConnectOptions): Promise<Peer> {
  const peer = await connect(urlOf(node), { p2p: false, name, ...options })
  peers.push(peer)
  return peer
}

async function open(node: number, of: { id: string; token: string; key?: string }): Promise<PeerJsPeer> {
  const peer = await PeerJsPeer.open({ url: urlOf(node), ...of })
  peers.push(peer)
  return peer
}

function statesOf(peer: Peer): PeerState[] {
  const states: PeerState[] = []
  peer.on('state', (state) => void states.push(state))
  return states
}

test('[WR12] [WL10] a peer renews its token in place, and other nodes reach it on the same connection', async () => {
  let asked = 0
  const token = async (): Promise<string> => {
    asked++
    return tokenOf('ann', { seconds: 7 })
  }
  const ann = await enter(0, 'ann', { token })
  const bob = await enter(1, 'bob', { token: await tokenOf('bob') })
  const states = statesOf(ann)
  const got: unknown[] = []
  ann.on('message', (_, data) => void got.push(data))
  await expect
    .poll(
      async () => {
        await bob.send('ann', asked)
        return asked
      },
      { timeout: 40_000, interval: 500 },
    )
    .toBeGreaterThanOrEqual(4)
  expect(states).toEqual([])
  expect(got.at(-1)).toBeGreaterThanOrEqual(3)
})

test('[WC8] when a token ends that is not renewed, the peer is closed for good, and its name waits for it', async () => {
  // A token is taken until 30 s after its end.
  const ann = await enter(2, 'ann-2', { token: await tokenOf('ann-2', { seconds: -25 }) })
  const states = statesOf(ann)
  const bob = await enter(1, 'bob-2', { token: await tokenOf('bob-2') })
  await expect
    .poll(() => states.at(-1), { timeout: 20_000 })
    .toMatchObject({
      state: 'closed',
      reason: 'token-expired',
    })
  expect(await bob.lookup(['ann-2'])).toMatchObject([{ state: 'away' }])
})

test('[WR13] a token says whom a peer reaches and which rooms it joins, whoever is there', async () => {
  const grants = { to: { names: ['bob-3'] }, rooms: { prefixes: ['lobby'] } }
  const ann = await enter(0, 'ann-3', { token: await tokenOf('ann-3', { peerage: grants }) })
  const bob = await enter(1, 'bob-3', { token: await tokenOf('bob-3') })
  await enter(2, 'carol', { token: await tokenOf('carol') })
  const reached = new Promise((resolve) => bob.on('message', (from, data) => resolve([from, data])))
  await ann.send('bob-3', 'hello')
  expect(await reached).toEqual(['ann-3', 'hello'])
  for (const name of ['carol', 'nobody']) {
    await expect(ann.send(name, 'hello')).rejects.toMatchObject({ code: 'forbidden' })
    await expect(ann.lookup([name])).rejects.toMatchObject({ code: 'forbidden' })
  }
  await expect(ann.join('secret')).rejects.toMatchObject({ code: 'forbidden' })
  const room = await ann.join('lobby-1')
  await room.leave()
})

test('[PJ19] [PJ23] at the end of its token a PeerJS client is closed, and comes back with the next one on another node', async () => {
  const tom = await open(0, { id: 'tom', token: `${await tokenOf('tom', { seconds: -25 })}~own` })
  const eve = await open(1, { id: 'eve', token: `${await tokenOf('eve')}~own` })
  tom.send(offer('eve'))
  expect((await eve.next('OFFER')).src).toBe('tom')
  await expect.poll(() => tom.end?.code, { timeout: 20_000 }).toBe(4504)
  const again = await open(2, { id: 'tom', token: `${await tokenOf('tom')}~own` })
  again.send(offer('eve'))
  await eve.next('OFFER')
  // A token for exactly this name proves enough by itself, on any node.
  const own = await open(0, { id: 'una', token: await tokenOf('una') })
  await open(1, { id: 'una', token: await tokenOf('una', { jti: 'next' }) })
  expect(await own.ended()).toMatchObject({ code: 4500 })
})

test('one app cannot see, name or enter another, and the same name is another peer there', async () => {
  const chat = await enter(0, 'same', { token: await tokenOf('same') })
  const inGames = { app: 'games', token: await tokenOf('same', { app: 'games' }) }
  const games = await enter(1, 'same', inGames)
  expect((await chat.lookup(['same']))[0]?.state).toBe('online')
  expect(games.name).toBe('same')
  await enter(1, 'only-in-games', { app: 'games', token: await tokenOf('only-in-games', { app: 'games' }) })
  expect(await chat.lookup(['only-in-games'])).toMatchObject([{ state: 'offline' }])
  await expect(enter(2, 'same', { app: 'games', token: await tokenOf('same') })).rejects.toMatchObject({
    code: 'bad-token',
  })
  const foreign = new PeerJsPeer({
    url: urlOf(2),
    id: 'same',
    token: await tokenOf('same'),
    key: 'games-key',
  })
  await foreign.ended()
  expect(foreign.frames[0]).toContain('Invalid token provided: ')
  const listed = await fetch(`${urlOf(2)}/${await tokenOf('lister')}/peers`)
  expect(await listed.json()).not.toContain('only-in-games')
})

test('[ASVS 4.4.3] a token in a cookie lets nobody in: only the one that the peer itself presents does', async () => {
  const cookie = `token=${await tokenOf('una')}; Authorization=${await tokenOf('una')}`
  const refused = new PeerJsPeer({ url: urlOf(0), id: 'una', token: 'x~own', headers: { cookie } })
  await refused.ended()
  expect(refused.frames[0]).toContain('Invalid token provided: ')
})

test('no token reaches the log of a node, whether it is right, wrong or expired, in the query or in the path', async () => {
  for (const token of [
    await tokenOf('x', { seconds: -600 }),
    `${await tokenOf('x')}tampered`,
    'no-token-but-a-secret',
  ]) {
    tokens.push(token)
    for (const of of [
      { token },
      { key: token, token: 'own-secret-of-the-peer' },
      { token: `${token}~own-secret-of-the-peer` },
    ]) {
      const refused = new PeerJsPeer({ url: urlOf(0), id: 'x', ...of })
      await refused.ended()
      expect(refused.frames[0]).toContain('ERROR')
    }
    const answer = await fetch(`${urlOf(0)}/${token}/peers`)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    await expect(enter(0, 'x', { token })).rejects.toMatchObject({ name: 'PeerageError' })
  }
  tokens.push('own-secret-of-the-peer')
  const output = nodes.map((node) => node.output()).join('\n')
  expect(output).toContain('"msg":"refused"')
  for (const token of tokens) {
    expect(output).not.toContain(token)
    // The signature alone is as secret.
    expect(output).not.toContain(token.split('.').at(-1))
  }
})
