import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { withReason } from './unreachable.js'
import { parseRedisUrl } from './url.js'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listen(): Promise<number> {
  const server = createServer((socket) => socket.end())
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function nobody(): Promise<number> {
  const port = await listen()
  const server = servers.pop()
  if (server) await once(server.close(), 'close')
  return port
}

function ask(failure: unknown, url: string): Promise<unknown> {
  const parsed = parseRedisUrl(url)
  if (!parsed.ok) throw new Error(parsed.problem)
  return withReason(failure, { address: parsed.address, tls: {}, deadlineMs: 1_000 })
}

// The messages of ioredis 6.
const ofSentinels = new Error('All sentinels are unreachable. Last error: Connection is closed.')
const ofCluster = Object.assign(new Error('Failed to refresh slots cache.'), {
  lastNodeError: new Error('Connection is closed.'),
})

test('if no server can be reached, the error gets the reason', async () => {
  const [port, other] = [await nobody(), await nobody()]
  const refused = `connect ECONNREFUSED 127.0.0.1:${port}`
  expect(await ask(ofSentinels, `redis+sentinel://127.0.0.1:${port},127.0.0.1:${other}/m`)).toMatchObject({
    message: `All sentinels are unreachable. Last error: ${refused}`,
    cause: ofSentinels,
  })
  expect(await ask(ofCluster, `redis+cluster://127.0.0.1:${port},127.0.0.1:${other}`)).toMatchObject({
    message: `Failed to refresh slots cache. ${refused}`,
    cause: ofCluster,
  })
})

test('if one server can be reached, or the error has a reason, it stays unchanged', async () => {
  const [port, other] = [await nobody(), await listen()]
  expect(await ask(ofCluster, `redis+cluster://127.0.0.1:${port},127.0.0.1:${other}`)).toBe(ofCluster)
  const told = new Error('All sentinels are unreachable. Last error: NOAUTH Authentication required.')
  expect(await ask(told, `redis+sentinel://127.0.0.1:${port}/m`)).toBe(told)
  expect(await ask('no error', `redis+sentinel://127.0.0.1:${port}/m`)).toBe('no error')
})
