import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seeded } from './random.js'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.js'

/** The bytes that the target has received. It echoes all of them. */
let seen: string
const accepted: Socket[] = []
const server = createServer({ allowHalfOpen: true }, (socket) => {
  accepted.push(socket)
  socket.on('error', () => {})
  socket.on('data', (bytes: Buffer) => {
    seen += bytes.toString()
    socket.write(bytes)
  })
  socket.on('end', () => socket.end())
})
let proxy: TcpProxy
let near: Socket

beforeEach(async () => {
  seen = ''
  accepted.length = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  proxy = await startTcpProxy({ target: { host: '127.0.0.1', port }, seed: 7 })
  near = await dial()
})
afterEach(async () => {
  near.destroy()
  await proxy.stop()
  for (const socket of accepted) socket.destroy()
  server.close()
  await once(server, 'close')
})

async function dial(): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => {}) // 'close' follows; a test that cares reads `errored`
  await once(socket, 'connect')
  return socket
}

/** Resolves however the socket was closed; events.once would reject on a reset. */
function closed(socket: Socket | undefined): Promise<void> {
  return new Promise((resolve) => socket?.once('close', () => resolve()))
}

async function echo(text: string): Promise<string> {
  near.write(text)
  return String((await once(near, 'data'))[0])
}

/** Resolves once the proxy has read this many bytes in this direction. */
async function entered(direction: 'up' | 'down', bytes: number): Promise<void> {
  while (proxy.counts()[direction] < bytes) await new Promise((resolve) => setImmediate(resolve))
}

test('bytes and closes pass, and are counted', async () => {
  expect(await echo('one')).toBe('one')
  expect(proxy.counts()).toEqual({ up: 3, down: 3, accepted: 1, open: 1 })
  near.end()
  await closed(near)
  expect(near.errored).toBeNull()
})

test('a megabyte arrives whole, also with delay and jitter', async () => {
  proxy.delay(5, { jitterMs: 10 })
  const sent = 'abcdefghij'.repeat(100_000)
  near.end(sent)
  let received = ''
  near.on('data', (bytes: Buffer) => (received += bytes.toString()))
  await closed(near)
  expect(received).toBe(sent)
})

test('delay delays each byte in both directions', async () => {
  proxy.delay(60)
  const begin = performance.now()
  await echo('one')
  expect(performance.now() - begin).toBeGreaterThanOrEqual(110)
})

test('dropped upwards: the target receives nothing, not even the end, and stays connected', async () => {
  await echo('one')
  proxy.drop('up')
  near.end('lost')
  await entered('up', 7)
  accepted[0]?.write('still here')
  expect(String((await once(near, 'data'))[0])).toBe('still here')
  expect(seen).toBe('one')
  expect(accepted[0]?.readable).toBe(true)
})

test('dropped downwards: the target receives everything, and its answers are lost', async () => {
  await echo('one')
  proxy.drop('down')
  let heard = 0
  near.on('data', () => heard++)
  near.write('two')
  await entered('down', 6)
  expect(seen).toBe('onetwo')
  expect(heard).toBe(0)
})

test('half-open both ways: one side closes and the other side does not notice', async () => {
  await echo('one')
  proxy.drop()
  near.destroy()
  await closed(near)
  let told = false
  accepted[0]?.on('end', () => (told = true)).on('close', () => (told = true))
  accepted[0]?.write('anyone?')
  await entered('down', 10)
  expect(told).toBe(false)
  proxy.heal() // a stream with a hole is reset
  await closed(accepted[0])
  expect(told).toBe(true)
})

test('a reset is dropped, too', async () => {
  await echo('one')
  proxy.drop()
  near.resetAndDestroy()
  await closed(near)
  for (const bytes of [10, 17]) {
    accepted[0]?.write('anyone?') // by the second time the proxy has seen the reset
    await entered('down', bytes)
  }
  proxy.heal()
  await closed(accepted[0])
})

test('held bytes arrive after heal, and none is lost', async () => {
  await echo('one')
  proxy.hold()
  near.write('two')
  const other = await dial() // connections made meanwhile hang
  other.write('three')
  await new Promise((resolve) => setTimeout(resolve, 50)) // without hold they would arrive within this time
  expect(seen).toBe('one')
  proxy.heal()
  const [answers] = await Promise.all([once(near, 'data'), once(other, 'data')])
  expect(String(answers[0])).toBe('two')
  other.destroy()
})

test('reset ends both sides with RST', async () => {
  await echo('one')
  proxy.reset()
  await closed(near)
  expect(near.errored).toMatchObject({ code: 'ECONNRESET' })
})

test('a refusing proxy resets every new connection until it accepts again', async () => {
  proxy.refuse()
  const refused = connect(proxy.port, '127.0.0.1')
  refused.on('error', () => {})
  await closed(refused)
  proxy.accept()
  near = await dial()
  expect(await echo('one')).toBe('one')
})

test('random resets hit every connection, and a seed repeats their times', async () => {
  await echo('one')
  const stop = proxy.resetRandomly(20)
  await closed(near)
  stop()
  const [a, b] = [seeded(7), seeded(7)]
  const times = Array.from({ length: 5 }, () => a.exponential(20))
  expect(Array.from({ length: 5 }, () => b.exponential(20))).toEqual(times)
})
