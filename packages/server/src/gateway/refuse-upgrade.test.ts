import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { attachTo } from '../attach.js'
import { refuseUpgrade } from './refuse-upgrade.js'

const closers: (() => void)[] = []
const uncaught: unknown[] = []
const onUncaught = (error: unknown): void => void uncaught.push(error)

afterEach(() => {
  for (const close of closers.splice(0)) close()
})

test('[H9] the answer names the reason and when to come back, and the socket ends', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  closers.push(() => server.close())
  server.on('upgrade', (_, socket) =>
    refuseUpgrade(socket, { status: '503 Service Unavailable', detail: 'overloaded', retryAfterMs: 1_500 }),
  )
  const { port } = await listening(server)
  const socket = connect(port, '127.0.0.1')
  socket.write(UPGRADE)
  let answer = ''
  socket.on('data', (bytes) => (answer += bytes.toString()))
  await once(socket, 'close')
  expect(answer).toBe(
    'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n' +
      'Retry-After: 2\r\nContent-Length: 23\r\n\r\n{"detail":"overloaded"}',
  )
})

test('[H9] an error of a refused socket concerns nobody', () => {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  refuseUpgrade(socket, { status: '404 Not Found' })
  socket.emit('error', new Error('read ECONNRESET'))
  socket.destroy()
})

test('[H9] a reset after a refused upgrade, or after one that nobody takes, ends nothing', async () => {
  process.on('uncaughtException', onUncaught)
  closers.push(() => process.off('uncaughtException', onUncaught))
  for (const others of [0, 1]) {
    const server = createServer().listen(0, '127.0.0.1')
    const detach = attachTo(server, [])
    // Somebody else listens, and leaves it alone.
    if (others > 0) server.on('upgrade', () => {})
    closers.push(() => {
      detach()
      server.close()
    })
    const { port } = await listening(server)
    for (let round = 0; round < 20; round++) {
      const arrived = once(server, 'connection')
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      const [far] = await arrived
      if (!(far instanceof Duplex)) throw new Error('a connection without a socket')
      const ended = new Promise((resolve) => far.once('close', resolve))
      socket.write(UPGRADE)
      while (far.listenerCount('data') > 0 || !far.listenerCount('error')) await delay(1)
      socket.resetAndDestroy()
      // Nobody reads a socket that nobody takes; then a reset is seen when somebody does.
      far.resume()
      await ended
    }
  }
  expect(uncaught).toEqual([])
})

const UPGRADE = 'GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

async function listening(server: ReturnType<typeof createServer>): Promise<AddressInfo> {
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address
}
