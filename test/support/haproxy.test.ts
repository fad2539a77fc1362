import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { startHaproxy, type Haproxy, type HaproxyOptions } from './haproxy.js'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Node {
  name: string
  port: number
  ready: boolean
  stop(): Promise<void>
}

/** A plain HTTP server that answers with its name, reports whether it is ready, and echoes upgraded connections. */
async function node(name: string): Promise<Node> {
  const server: Server = createServer((asked, response) => {
    const status = asked.url === '/readyz' && !self.ready ? 503 : 200
    response.writeHead(status, { connection: 'close' }).end(name)
  })
  server.on('upgrade', (_, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n')
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const self: Node = {
    name,
    port: (server.address() as AddressInfo).port,
    ready: true,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  ends.push(() => self.stop())
  return self
}

async function balance(nodes: readonly Node[], options: Partial<HaproxyOptions> = {}): Promise<Haproxy> {
  const backends = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
  const haproxy = await startHaproxy({ backends, ...options })
  ends.push(() => haproxy.stop())
  return haproxy
}

async function answers(haproxy: Haproxy, count: number): Promise<string[]> {
  const names: string[] = []
  for (let i = 0; i < count; i++) names.push(await (await fetch(haproxy.url)).text())
  return names
}

/** Without health checks: a busy test process answers them late, and tests about other things must not depend on them. */
async function balanceUnchecked(nodes: readonly Node[]): Promise<Haproxy> {
  const haproxy = await balance(nodes, { env: { PEERAGE_CHECK_INTERVAL: '1h' } })
  // This does not stop the first check, which comes at once; its failure alone would take the node out.
  for (let i = 1; i <= nodes.length; i++) {
    await haproxy.command(`disable health nodes/node${i}`)
    await haproxy.command(`set server nodes/node${i} health up`)
  }
  return haproxy
}

test('the shipped configuration balances round-robin', async () => {
  const haproxy = await balanceUnchecked([await node('a'), await node('b')])
  expect((await answers(haproxy, 6)).sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'b'])
})

test('a disabled backend gets nothing until it is enabled', async () => {
  const haproxy = await balanceUnchecked([await node('a'), await node('b')])
  await haproxy.disable(0)
  expect(new Set(await answers(haproxy, 4))).toEqual(new Set(['b']))
  await haproxy.enable(0)
  await expect.poll(async () => new Set(await answers(haproxy, 4))).toEqual(new Set(['a', 'b']))
})

test('a check of /readyz finds a node that is not ready DOWN', async () => {
  const [a, b] = [await node('a'), await node('b')]
  const haproxy = await balance([a, b])
  b.ready = false
  await haproxy.until(1, 'DOWN')
  // Poll, because the check of the other node may be late, too.
  await expect.poll(async () => new Set(await answers(haproxy, 4))).toEqual(new Set(['a']))
  b.ready = true
  await haproxy.until(1, 'UP')
})

test('a request to a node that has just died goes to the other node', async () => {
  const [a, b] = [await node('a'), await node('b')]
  const haproxy = await balanceUnchecked([a, b])
  await b.stop()
  expect(await answers(haproxy, 4)).toEqual(['a', 'a', 'a', 'a'])
})

test('an upgraded connection goes through, outlives `disable`, and ends by `cut`', async () => {
  const haproxy = await balanceUnchecked([await node('a')])
  const asked = request({
    host: haproxy.host,
    port: haproxy.port,
    headers: { connection: 'upgrade', upgrade: 'echo' },
  })
  asked.end()
  const socket = await new Promise<Duplex>((resolve, reject) => {
    asked.once('upgrade', (_, upgraded) => resolve(upgraded))
    asked.once('response', (response) => reject(new Error(`answered ${response.statusCode}`)))
  })
  const echo = async (bytes: string): Promise<string> => {
    socket.write(bytes)
    return new Promise((resolve) => socket.once('data', (chunk: Buffer) => resolve(chunk.toString())))
  }
  expect(await echo('one')).toBe('one')
  await haproxy.disable(0)
  expect(await echo('two')).toBe('two')
  expect((await haproxy.states())[0]).toMatchObject({ name: 'node1', sessions: 1 })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await haproxy.cut(0)
  await closed
})
