import { connect } from 'node:tls'
import { readFile } from 'node:fs/promises'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { makeCertificates } from './certificates.js'
import { startRedis, type RedisServer } from './redis.js'

const started: RedisServer[] = []
afterEach(async () => {
  for (const server of started.splice(0)) await server.stop()
})

async function redis(...options: Parameters<typeof startRedis>): Promise<RedisServer> {
  const server = await startRedis(...options)
  started.push(server)
  return server
}

test('a Redis server answers, and is gone after stop', async () => {
  const server = await redis()
  expect(await server.cli('SET', 'a', '1')).toBe('OK')
  expect(await server.cli('GET', 'a')).toBe('1')
  const { pid } = server
  await server.stop()
  expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  await expect(server.cli('PING')).rejects.toThrow('ECONNREFUSED')
})

test('restarted empty, it has the same port, another process and no keys', async () => {
  const server = await redis()
  const { pid, url } = server
  await server.cli('SET', 'a', '1')
  await server.cli('SAVE')
  await server.restart({ empty: true })
  expect(server.pid).not.toBe(pid)
  expect(server.url).toBe(url)
  expect(await server.cli('DBSIZE')).toBe('0')
})

test('restarted with its data, it keeps its keys', async () => {
  const server = await redis()
  await server.cli('SET', 'a', '1')
  await server.restart({ empty: false })
  expect(await server.cli('GET', 'a')).toBe('1')
})

test('killed and restarted, it serves again', async () => {
  const server = await redis()
  await server.kill()
  await expect(server.cli('PING')).rejects.toThrow('ECONNREFUSED')
  await server.restart()
  expect(await server.cli('PING')).toBe('PONG')
})

test('a paused server accepts connections and does not answer; a resumed one answers', async () => {
  const server = await redis()
  await server.pause()
  let answered = false
  const answer = server.cli('PING').then((text) => {
    answered = true
    return text
  })
  await new Promise((resolve) => setTimeout(resolve, 150)) // it would have answered within this time
  expect(answered).toBe(false)
  await server.resume()
  expect(await answer).toBe('PONG')
})

test('config and ACL reach the server', async () => {
  const server = await redis({
    config: { maxmemory: '50mb' },
    acl: ['default off', 'peerage on >pw ~pg:* +@all'],
    login: { username: 'peerage', password: 'pw' },
  })
  expect(await server.cli('CONFIG', 'GET', 'maxmemory')).toContain('52428800')
  await expect(server.cli('SET', 'other', '1')).rejects.toThrow('NOPERM')
  expect(await server.cli('SET', 'pg:a', '1')).toBe('OK')
})

test('with certificates it serves TLS only, and a client that trusts our authority accepts it', async () => {
  const tls = await makeCertificates()
  const server = await redis({ tls })
  expect(server.url).toMatch(/^rediss:/)
  const socket = connect({ port: server.port, host: server.host, ca: await readFile(tls.ca) })
  await once(socket, 'secureConnect')
  expect(socket.authorized).toBe(true)
  socket.destroy()
  await tls.remove()
})
