import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startRedis, type RedisOptions } from '@peerage/test-support/redis.js'
import { useCommand } from './command.js'
import { startMeddler } from './meddler.js'

// What the operator is told about a wrong Redis: by doctor, and by a node in its log or as the reason why it ended.

const { cleanups, peerage, ended } = useCommand()
const LOGGED_MS = 20_000
const PORT = ['--port', '0'] as const

async function redis(options: RedisOptions = {}): Promise<{ url: string; port: number }> {
  const server = await startRedis(options)
  cleanups.push(() => server.stop())
  return server
}

const withLogin = (url: string, login: string): string => url.replace('://', `://${login}@`)

/** Users of an ACL that lacks something, and one with which the fixture asks whether the server is up. */
const USERS: RedisOptions = {
  acl: [
    'default off',
    'nokeys on >pw &pg:* +@all',
    'nochannels on >pw ~pg:* resetchannels +@all',
    'all on >pw ~* &* +@all',
  ],
  login: { username: 'all', password: 'pw' },
}

async function replica(): Promise<string> {
  const primary = await redis()
  return (await redis({ config: { replicaof: `127.0.0.1 ${primary.port}` } })).url
}

async function withTls(): Promise<string> {
  const tls = await makeCertificates()
  cleanups.push(() => tls.remove())
  return (await redis({ tls })).url
}

async function notRedis(): Promise<string> {
  const server = createServer((socket) =>
    socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => void server.close())
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function old(): Promise<string> {
  const link = await startMeddler((await redis()).port)
  cleanups.push(() => link.stop())
  link.rewrite((text) => text.replaceAll(/((?:redis|valkey)_version:)\d+/g, '$16'))
  return link.url
}

describe('doctor and a node say the same of a Redis', () => {
  test.each<[what: string, url: () => Promise<string>, says: string]>([
    [
      'that is not there',
      async () => `redis://127.0.0.1:${await freePort()}`,
      'check redis.url, the network, and redis-cli PING',
    ],
    [
      'that asks for a password',
      async () => (await redis({ config: { requirepass: 'right' }, login: { password: 'right' } })).url,
      'NOAUTH; Redis asks for a password: set redis.password, or put it into redis.url',
    ],
    [
      'that refuses the password',
      async () => {
        const server = await redis({ config: { requirepass: 'right' }, login: { password: 'right' } })
        return withLogin(server.url, ':wrong')
      },
      '; check redis.username and redis.password',
    ],
    ['without the database', async () => `${(await redis()).url}/99`, 'Redis has no database 99 '],
    [
      'that speaks TLS, without it',
      async () => (await withTls()).replace('rediss:', 'redis:'),
      'if this Redis uses TLS, write rediss:// instead of redis://',
    ],
    ['whose authority is unknown', withTls, 'set redis.ca to the file of the authority'],
    [
      'that speaks no TLS, with it',
      async () => (await redis()).url.replace('redis:', 'rediss:'),
      'if this Redis does not use TLS, write redis:// instead of rediss://',
    ],
    ['that is none', notRedis, 'the server that answers there is not a Redis'],
    [
      'that is a read-only replica',
      replica,
      'this Redis is a read-only replica: set redis.url to its primary',
    ],
    ['that is too old', old, 'is older than 7.0'],
    [
      'that keeps its keys from us',
      async () => withLogin((await redis(USERS)).url, 'nokeys:pw'),
      'in its ACL, allow ~pg:*',
    ],
    [
      'that keeps its channels from us',
      async () => withLogin((await redis(USERS)).url, 'nochannels:pw'),
      'in its ACL, allow &pg:*',
    ],
  ])('%s', async (_, urlOf, says) => {
    const url = await urlOf()
    const found = await ended(['doctor', ...PORT, '--redis', url])
    expect(found.code).toBe(1)
    const line = found.text.split('\n').find((each) => /^fail {2}redis /.test(each)) ?? ''
    expect(line).toContain(says)
    const node = await peerage(['serve', ...PORT, '--redis', url])
    await node.line((each) => (each.includes(says) ? true : undefined), LOGGED_MS)
  })
})
