import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { newPeer, roomNamed } from '@peerage/test-support/testing/core.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import {
  ensureBuilt,
  PEERAGE_BIN,
  startNode,
  type Node,
  type NodeOptions,
} from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { freePort } from '@peerage/test-support/ports.js'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { eventually, startChild } from '@peerage/test-support/process.js'
import { startRedis, type RedisOptions, type RedisServer } from '@peerage/test-support/redis.js'
import { becomeHealthy, doubts, startRigNode } from './redis-rig.js'

// When Redis refuses the login, the node says why within seconds and does not hang.
// One server is enough here. redis-start.test.ts checks that each topology reports such a refusal.

const PASSWORD = 'of-the-test-7f3a'
const SOON_MS = 5_000
const WAIT = { timeout: 20_000 }
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function redis(options: RedisOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  ends.push(() => server.stop())
  return server
}

async function listening(redisUrl: string, options: NodeOptions = {}): Promise<Node> {
  const args = ['--admin-port', '0', ...(options.args ?? [])]
  const node = await startNode({ redisUrl, until: 'listening', ...options, args })
  ends.push(() => node.stop())
  return node
}

/** Waits until the admin port's /readyz says `why`. It must never say that the node is ready. */
async function refused(node: Node, why: RegExp): Promise<void> {
  await eventually(
    `/readyz says ${String(why)}`,
    async () => {
      const answer = await fetch(`${node.admin}/readyz`)
      const text = await answer.text()
      expect(answer.status).toBe(503)
      // The main port gives only the kind of the reason, and no text of Redis.
      expect(await (await fetch(`${node.url}/readyz`)).json()).toEqual({
        status: 'not ready',
        why: expect.stringMatching(/^(?:starting|store|fenced|listening|settling)$/),
      })
      if (why.test(text)) return true
      throw new Error(text)
    },
    { deadlineMs: SOON_MS },
  )
  // A peer is refused at once and does not have to wait.
  const peer = new PeerJsPeer({ url: node.url, id: 'waits-for-nobody' })
  await peer.ended(SOON_MS)
  expect((await fetch(`${node.url}/healthz`)).status).toBe(200)
  expect(node.output()).not.toContain(PASSWORD)
  expect((await node.terminate(SOON_MS)).code).toBe(0)
}

/** Runs a `peerage serve` that must end by itself. */
async function ending(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  await ensureBuilt()
  const command = [PEERAGE_BIN, 'serve', '--port', '0', ...args]
  const child = await startChild({ command: process.execPath, args: command })
  ends.push(() => child.stop())
  const { code } = await child.stopped
  return { code, output: child.output() }
}

describe('refused before anything starts: exit code 2', () => {
  test.each([
    ['an unknown scheme', 'http://127.0.0.1:6379', 'redis.url'],
    ['an impossible port', 'redis://127.0.0.1:99999', 'redis.url'],
    ['no host', 'redis://', 'redis.url'],
    ['a path that is not a database', 'redis://127.0.0.1/abc', 'redis.url'],
  ])('%s', async (_, url, setting) => {
    const { code, output } = await ending(['--redis', url])
    expect(code).toBe(2)
    expect(output).toContain(setting)
  })

  test('a TLS file that is absent or is not a certificate', async () => {
    const directory = await makeDirectory('tls')
    ends.push(() => removeDirectory(directory))
    const file = join(directory, 'ca.pem')
    const absent = await ending(['--redis', 'rediss://127.0.0.1:1', '--redis-ca', file])
    expect(absent).toMatchObject({ code: 2 })
    expect(absent.output).toContain(`redis.ca (${file}) cannot be read: ENOENT`)
    await writeFile(file, 'not a certificate\n')
    const other = await ending(['--redis', 'rediss://127.0.0.1:1', '--redis-ca', file])
    expect(other).toMatchObject({ code: 2 })
    expect(other.output).toContain(`redis.ca (${file}) is not a PEM file`)
  })
})

describe('refused by Redis: the node is not ready and says why', () => {
  test('nothing listens there', async () => {
    const node = await listening(`redis://127.0.0.1:${await freePort()}`)
    await refused(node, /not connected to Redis: .*ECONNREFUSED/)
  })

  test('a name that does not resolve', async () => {
    const node = await listening('redis://no-such-host.invalid:6379')
    await refused(node, /not connected to Redis: .*(?:ENOTFOUND|EAI_AGAIN).*no-such-host\.invalid/)
  })

  test('no password, a wrong one, a wrong user', async () => {
    const server = await redis({ config: { requirepass: PASSWORD }, login: { password: PASSWORD } })
    await refused(await listening(server.url), /NOAUTH.*; Redis asks for a password: set redis\.password/)
    const wrong = /WRONGPASS.*; check redis\.username and redis\.password/
    await refused(await listening(server.url, { env: { PEERAGE_REDIS_PASSWORD: 'wrong' } }), wrong)
    const env = { PEERAGE_REDIS_USERNAME: 'nobody', PEERAGE_REDIS_PASSWORD: PASSWORD }
    await refused(await listening(server.url, { env }), /WRONGPASS/)
  })

  test('[CALL10] a database that does not exist or may not be selected: exit code 1, and no other database is touched', async () => {
    const acl = ['default off', 'here on >pw ~* &* +@all -select', 'looker on >look ~* &* +@all']
    const server = await redis({ acl, login: { username: 'looker', password: 'look' } })
    const at = `127.0.0.1:${server.port}`
    const absent = await ending(['--redis', `redis://looker:look@${at}/99`])
    expect(absent).toMatchObject({ code: 1 })
    expect(absent.output).toMatch(
      /^peerage: Redis has no database 99 \(ERR DB index is out of range\): name one that it has in redis\.url/m,
    )
    const kept = await ending(['--redis', `redis://here:pw@${at}/3`])
    expect(kept).toMatchObject({ code: 1 })
    expect(kept.output).toMatch(/^peerage: Redis does not let this user select database 3 .*allow \+select$/m)
    expect(await server.cli('DBSIZE')).toBe('0')
    // The same when the node reconnects and may no longer select its database.
    await server.cli('ACL', 'SETUSER', 'here', '+select')
    const node = await listening(`redis://here:pw@${at}/3`)
    await node.log(({ msg }) => msg === 'ready')
    await server.cli('ACL', 'SETUSER', 'here', '-select')
    await server.cli('CLIENT', 'KILL', 'USER', 'here')
    await node.log(({ msg, why }) => msg === 'health' && String(why).includes('allow +select'))
    expect((await fetch(`${node.url}/readyz`)).status).toBe(503)
    expect(await server.cli('DBSIZE')).toBe('0')
    await server.cli('ACL', 'SETUSER', 'here', '+select')
    await eventually(
      'the node is ready again',
      async () => (await fetch(`${node.url}/readyz`)).ok || undefined,
      {
        deadlineMs: 20_000,
      },
    )
    expect(await server.cli('DBSIZE')).toBe('0')
  })

  test('a node gets in without a restart once Redis accepts its password', async () => {
    const server = await redis({ config: { requirepass: 'another' }, login: { password: 'another' } })
    const node = await listening(server.url, { env: { PEERAGE_REDIS_PASSWORD: PASSWORD } })
    await node.log(({ msg, why }) => msg === 'health' && String(why).includes('WRONGPASS'))
    await server.cli('CONFIG', 'SET', 'requirepass', PASSWORD)
    await node.log(({ msg }) => msg === 'ready')
    expect((await fetch(`${node.url}/readyz`)).status).toBe(200)
  })

  test('a user without rights on our keys', async () => {
    const server = await redis({
      acl: ['default off', `peerage on >${PASSWORD} ~other:* &pg:* +@all`, `looker on >look ~* &* +@all`],
      login: { username: 'looker', password: 'look' },
    })
    const env = { PEERAGE_REDIS_USERNAME: 'peerage', PEERAGE_REDIS_PASSWORD: PASSWORD }
    await refused(await listening(server.url, { env }), /starting: .*NOPERM.*\bkeys?\b/)
  })

  test('a user without rights on our channels', async () => {
    const server = await redis({
      acl: ['default off', `peerage on >${PASSWORD} ~pg:* &other:* +@all`, `looker on >look ~* &* +@all`],
      login: { username: 'looker', password: 'look' },
    })
    const env = { PEERAGE_REDIS_USERNAME: 'peerage', PEERAGE_REDIS_PASSWORD: PASSWORD }
    const node = await listening(server.url, { env })
    await node.log(({ msg, stage }) => msg === 'failed' && stage === 'canary')
    // The node does not reconnect again and again, and it logs the reason once instead of forty times a second.
    expect(node.logs().filter(({ msg }) => msg === 'health').length).toBeLessThan(8)
    await refused(node, /not subscribed to all channels yet: NOPERM.*\bchannels?\b/)
  })

  test('[EAR6] a node is healthy, also after a gap, although Redis refuses the channel of one room', async () => {
    const server = await redis({
      acl: [
        'default off',
        `peerage on >${PASSWORD} ~pg:* resetchannels &pg:inbox:* &pg:canary:* &pg:*:presence +@all`,
        `looker on >look ~* &* +@all`,
      ],
      login: { username: 'looker', password: 'look' },
    })
    const node = await startRigNode(server.url, { username: 'peerage', password: PASSWORD })
    ends.push(() => node.stop())
    await becomeHealthy(node)
    const before = node.events.length
    await expect(node.backend.rooms.subscribe(roomNamed('hall'), () => undefined)).rejects.toThrow('NOPERM')
    await vi.waitFor(() => expect(node.heard()).toBeGreaterThan(10), WAIT)
    expect(node.events.slice(before)).toEqual([])
    // Subscriptions of one turn share a command, and yet each gets its own result.
    const [watched, room] = await Promise.allSettled([
      node.backend.presence.watch(newPeer()),
      node.backend.rooms.subscribe(roomNamed('lobby'), () => undefined),
    ])
    expect([watched.status, room.status]).toEqual(['fulfilled', 'rejected'])
    await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await vi.waitFor(() => expect(doubts(node)).not.toEqual([]), WAIT)
    await becomeHealthy(node)
  })

  test('TLS: a wrong authority, no authority, and a plain connection to a TLS port', async () => {
    const [ours, others] = [await makeCertificates(), await makeCertificates()]
    ends.push(
      () => ours.remove(),
      () => others.remove(),
    )
    const server = await redis({ tls: ours })
    const certificate = /not connected to Redis: .*(?:self.signed|certificate)/i
    await refused(await listening(server.url, { args: ['--redis-ca', others.ca] }), certificate)
    await refused(await listening(server.url), certificate)
    await refused(await listening(server.url.replace('rediss:', 'redis:')), /not connected to Redis/)
    const right = await startNode({ redisUrl: server.url, args: ['--redis-ca', ours.ca] })
    ends.push(() => right.stop())
    expect((await fetch(`${right.url}/readyz`)).status).toBe(200)
    expect(await readFile(ours.ca, 'utf8')).not.toBe(await readFile(others.ca, 'utf8'))
  })

  test('a server that is not a Redis', async () => {
    const other = createServer((socket) =>
      socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    )
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    ends.push(async () => other.close())
    const { port } = other.address() as AddressInfo
    await refused(
      await listening(`redis://127.0.0.1:${port}`),
      /; the server that answers there is not a Redis/,
    )
  })

  test('TLS to a port without TLS', async () => {
    const server = await redis()
    const node = await listening(server.url.replace('redis:', 'rediss:'))
    await refused(node, /not connected to Redis: .*; if this Redis does not use TLS, write redis:/)
  })
})
