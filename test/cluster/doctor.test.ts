import { generateKeyPairSync } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { defaultTimes, mintNodeId, systemClock } from '@peerage/core'
import { encodeAnnouncement } from '@peerage/node-links'
import { createRedisBackend } from '@peerage/redis'
import { describe, expect, test } from 'vitest'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { startNode } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { startTopology, topologies } from '@peerage/test-support/redis-topologies.js'
import { useCommand } from './command.js'

const { cleanups, ended, occupy } = useCommand()

describe('doctor', () => {
  test.each(topologies)(
    'accepts a good Redis and says what is wrong with a bad one: %s',
    async (topology) => {
      const redis = await startTopology(topology, {
        redis: { config: { maxmemory: '100mb', 'maxmemory-policy': 'allkeys-lru' } },
      })
      cleanups.push(() => redis.stop())
      const found = await ended(['doctor', '--port', '0', '--redis', redis.url])
      expect(found.code).toBe(0)
      expect(found.text).toMatch(new RegExp(`^ok {4}redis {9}version \\d+\\.\\d+\\.\\d+, ${topology}$`, 'm'))
      expect(found.text).toMatch(/^warn {2}redis {9}maxmemory-policy allkeys-lru: set noeviction/m)
      expect(found.text).toMatch(/^ok {4}redis {9}its clock is \d+ ms/m)
      await redis.everywhere('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
      const again = await ended(['doctor', '--port', '0', '--redis', redis.url])
      expect(again.text).toMatch(/^ok {4}redis {9}maxmemory-policy noeviction$/m)
    },
  )

  test('finds an ACL that denies its keys or channels, and says which rule to add', async () => {
    const acl = [
      'default off',
      'keys on >pw ~pg:* +@all',
      'channels on >pw &pg:* +@all',
      'both on >pw ~pg:* &pg:* +@all',
    ]
    const redis = await startRedis({ acl, login: { username: 'both', password: 'pw' } })
    cleanups.push(() => redis.stop())
    const ask = (user: string) =>
      ended(['doctor', '--port', '0', '--redis', `redis://${user}:pw@127.0.0.1:${redis.port}`])
    const both = await ask('both')
    expect(both.text).toMatch(/^ok {4}redis {9}its keys \(pg:\*\) may be used$/m)
    expect(both.text).toMatch(/^ok {4}redis {9}its channels \(pg:\*\) carry messages$/m)
    expect(both.code).toBe(0)
    const keys = await ask('keys')
    expect(keys.text).toMatch(/^fail {2}redis .*NOPERM.*\bchannels?\b.*allow &pg:\*$/m)
    expect(keys.code).toBe(1)
    const channels = await ask('channels')
    expect(channels.text).toMatch(/^fail {2}redis .*NOPERM.*\bkeys?\b/m)
    expect(channels.code).toBe(1)
  })

  test.each([
    ['EVAL is renamed', { args: ['--rename-command', 'EVAL', ''] }, ''],
    ['EVALSHA is renamed', { args: ['--rename-command', 'EVALSHA', ''] }, ''],
    [
      'its ACL denies scripts',
      {
        acl: ['default off', 'noscript on >pw ~* &* +@all -eval -evalsha', 'all on >pw ~* &* +@all'],
        login: { username: 'all', password: 'pw' },
      },
      'noscript:pw@',
    ],
  ])('[CALL10] reports a Redis that runs no scripts: %s', async (_, options, login) => {
    const redis = await startRedis(options)
    cleanups.push(() => redis.stop())
    const { code, text } = await ended([
      'doctor',
      '--port',
      '0',
      '--redis',
      `redis://${login}127.0.0.1:${redis.port}`,
    ])
    expect(code).toBe(1)
    expect(text).toMatch(
      /^fail {2}redis {9}Redis runs no scripts for us \(.*\): EVAL and EVALSHA must not be renamed/m,
    )
  })

  test('[CALL10] reports a database that Redis does not have', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const { code, text } = await ended(['doctor', '--port', '0', '--redis', `${redis.url}/99`])
    expect(code).toBe(1)
    expect(text).toMatch(/^fail {2}redis {9}Redis has no database 99 /m)
  })

  test.each([
    ['standalone', (port: number) => `redis://127.0.0.1:${port}`],
    ['sentinel', (port: number) => `redis+sentinel://127.0.0.1:${port}/peerage`],
    ['cluster', (port: number) => `redis+cluster://127.0.0.1:${port}`],
  ])('says why Redis cannot be reached: %s', async (_, url) => {
    const { code, text } = await ended(['doctor', '--port', '0', '--redis', url(await freePort())])
    expect(code).toBe(1)
    expect(text).toMatch(/^fail {2}redis .*ECONNREFUSED.*; check redis\.url/m)
  })

  test('tries the links of the live nodes if links are on for this node', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const args = ['--links-host', '127.0.0.1']
    const ask = (...more: string[]) => ended(['doctor', '--port', '0', '--redis', redis.url, ...more])
    const alone = await ask(...args)
    expect(alone.text).toMatch(/^ok {4}links port {4}any free TCP port of 127\.0\.0\.1 will do$/m)
    expect(alone.text).toMatch(/^ok {4}links {9}on; no other node is live/m)
    const [linked, other] = await Promise.all([
      startNode({ redisUrl: redis.url, args }),
      startNode({ redisUrl: redis.url }),
    ])
    cleanups.push(
      () => linked.stop(),
      () => other.stop(),
    )
    const { code, text } = await ask(...args)
    expect(text).toMatch(/^ok {4}links {9}1 of 2 live nodes can be reached: 127\.0\.0\.1:\d+$/m)
    expect(text).toMatch(
      new RegExp(`^warn {2}links {9}1 of 2 live nodes have links off: .*\\(${other.id}\\)$`, 'm'),
    )
    expect(code).toBe(0)
    expect((await ask()).text).toMatch(
      /^warn {2}links {9}off: messages between nodes go through Redis.*; 1 other live node has them on$/m,
    )
  })

  test('beside a running node it warns that the ports are taken, and does not fail', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const ports = [await freePort(), await freePort(), await freePort()].map(String)
    const [port = '', admin = '', links = ''] = ports
    const args = ['--port', port, '--admin-port', admin, '--links-host', '127.0.0.1', '--links-port', links]
    const node = await startNode({ redisUrl: redis.url, args: [...args, '--no-use-as-p2p-server'] })
    cleanups.push(() => node.stop())
    const { code, text } = await ended(['doctor', '--redis', redis.url, ...args])
    for (const taken of ports)
      expect(text).toMatch(
        new RegExp(
          `^warn {2}\\w.* TCP ${taken} on 127\\.0\\.0\\.1 is taken, and a node of Peerage runs here`,
          'm',
        ),
      )
    expect(text).toMatch(/^ok {4}links {9}1 of 1 live nodes can be reached/m)
    expect(code).toBe(0)
  })

  test('warns if the node would announce an address that only this machine can reach', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const ask = (...links: string[]) => ended(['doctor', '--port', '0', '--redis', redis.url, ...links])
    const useless = /^warn {2}links {9}this node announces 127\.0\.0\.1, which only this machine can reach/m
    expect((await ask('--links-host', '0.0.0.0')).text).toMatch(useless)
    expect((await ask('--links-host', '127.0.0.1')).text).not.toMatch(useless)
  })

  test('reports another server at the address that a node announced', async () => {
    const [redis, certificates] = await Promise.all([startRedis(), makeCertificates()])
    cleanups.push(
      () => redis.stop(),
      () => certificates.remove(),
    )
    const { cert, key } = certificates
    const stranger = createServer({ cert: await readFile(cert), key: await readFile(key) })
    stranger.listen(0, '127.0.0.1')
    await once(stranger, 'listening')
    cleanups.push(() => void stranger.close())
    const backend = createRedisBackend({
      url: redis.url,
      times: defaultTimes,
      clock: systemClock,
      onError: () => {},
    })
    await backend.start(() => {})
    cleanups.push(() => backend.stop())
    const node = mintNodeId()
    backend.identify(node)
    await backend.nodes.beat()
    const { port } = stranger.address() as AddressInfo
    const address = { host: '127.0.0.1', port }
    await backend.nodes.announce(
      encodeAnnouncement({ address, proof: { type: 'certificate', sha256: '0'.repeat(64) } }),
    )
    const args = ['--port', '0', '--redis', redis.url, '--links-host', '127.0.0.1']
    const { code, text } = await ended(['doctor', ...args])
    expect(text).toMatch(
      new RegExp(
        `^warn {2}links {9}node ${node} at 127\\.0\\.0\\.1:${port}: its certificate is not the announced one`,
        'm',
      ),
    )
    // Messages still go through Redis.
    expect(code).toBe(0)
  })

  test('fetches the JWKS of each app, and warns of secrets that others on the machine can read', async () => {
    const directory = await makeDirectory('doctor')
    cleanups.push(() => removeDirectory(directory))
    const [secret, open, config] = ['secret', 'open', 'peerage.yaml'].map((name) => join(directory, name))
    const jwks = createHttpServer((_, response) => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      response.end(JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }))
    })
    jwks.listen(0, '127.0.0.1')
    await once(jwks, 'listening')
    cleanups.push(() => void jwks.close())
    const url = `http://127.0.0.1:${(jwks.address() as AddressInfo).port}/keys.json`
    await writeFile(secret ?? '', 'key-of-the-api-of-the-chat', { mode: 0o600 })
    await writeFile(open ?? '', 'a-shared-key-of-the-games', { mode: 0o644 })
    await writeFile(
      config ?? '',
      `defaultApp: chat
apps:
  chat:
    access: { mode: token, token: { algorithms: [ES256], jwks: '${url}' } }
    api: { keys: [{ file: ${secret} }] }
  games: { access: { key: { file: ${open} } } }
`,
    )
    const { code, text } = await ended(['doctor', '--port', '0', '--config', config ?? ''])
    const found = text.split('\n')
    expect(found).toContain('ok    entrance      chat: a signed token')
    expect(found).toContain('ok    entrance      games: a shared key')
    expect(found).toContain(`ok    access        chat: the JWKS at ${url} has 1 key for ES256`)
    expect(found.filter((line) => line.includes('secrets '))).toEqual([
      expect.stringContaining(`warn  secrets       ${open} can be read by every account`),
    ])
    expect(code).toBe(0)
    jwks.closeAllConnections()
    await new Promise((resolve) => jwks.close(resolve))
    const without = await ended(['doctor', '--port', '0', '--config', config ?? ''])
    expect(without.text).toMatch(/^fail {2}access .*ECONNREFUSED.*nobody can come in/m)
    expect(without.code).toBe(1)
  })

  test('fails if Redis is absent, a port is taken or the P2P server is silent', async () => {
    const [port, taken] = [await freePort(), await freePort()]
    await occupy(port)
    await occupy(taken)
    const silent = createSocket('udp4')
    silent.bind(0, '127.0.0.1')
    await once(silent, 'listening')
    cleanups.push(() => void silent.close())
    const nowhere = `redis://127.0.0.1:${await freePort()}`
    const links = ['--links-host', '127.0.0.1', '--links-port', String(taken)]
    const wrong = [...links, '--redis', nowhere, '--p2p-server', `127.0.0.1:${silent.address().port}`]
    const { code, text } = await ended(['doctor', '--port', String(port), ...wrong])
    expect(code).toBe(1)
    expect(text).toMatch(/^fail {2}redis .*ECONNREFUSED.*; check redis\.url/m)
    expect(text).toMatch(/^fail {2}port .*is taken by another process/m)
    expect(text).toMatch(/^fail {2}links port .*is taken by another process/m)
    expect(text).toMatch(/^fail {2}p2p server .*does not answer STUN/m)
  })
})
