/**
 * Stock socket.io as its documentation sets it up: one room per peer, `io.to(name)`, and @socket.io/redis-adapter across
 * nodes. `--adapter none|classic|sharded`; `--ack` waits for the recipient's acknowledgement.
 */
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server, type Socket } from 'socket.io'

const ACK_TIMEOUT_MS = 10_000

const { values } = parseArgs({
  options: {
    adapter: { type: 'string', default: 'none' },
    redis: { type: 'string' },
    ack: { type: 'boolean', default: false },
    // From the page on memory in socket.io's documentation: drop the request of the handshake.
    tuned: { type: 'boolean', default: false },
  },
})

const http = createServer()
const io = new Server(http, adapter())

if (values.tuned) {
  io.engine.on('connection', (raw: { request: unknown }) => {
    raw.request = null
  })
}

io.on('connection', (socket) => {
  const name: unknown = socket.handshake.auth['name']
  if (typeof name !== 'string') {
    socket.disconnect()
    return
  }
  void socket.join(name)
  socket.on('join', async (room: string, done: () => void) => {
    await socket.join(room)
    done()
  })
  if (values.ack) answerWithAck(socket, name)
  else socket.on('message', (to: string, body: string) => io.to(to).emit('message', name, body))
})

http.listen(0, '127.0.0.1', () => {
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  console.log(JSON.stringify({ msg: 'ready', url: `http://127.0.0.1:${address.port}`, port: address.port }))
})

function answerWithAck(socket: Socket, name: string): void {
  socket.on('message', (to: string, body: string, done: (delivered: boolean) => void) => {
    io.to(to)
      .timeout(ACK_TIMEOUT_MS)
      .emitWithAck('message', name, body)
      .then(
        (answers: unknown[]) => done(answers.length > 0),
        () => done(false),
      )
  })
}

function adapter() {
  if (values.adapter === 'none') return {}
  if (values.redis === undefined) throw new Error('an adapter needs --redis')
  const publisher = new Redis(values.redis)
  const subscriber = publisher.duplicate()
  if (values.adapter === 'classic') return { adapter: createAdapter(publisher, subscriber) }
  return {
    adapter: createShardedAdapter(publisher, subscriber, { subscriptionMode: 'dynamic-private' as const }),
  }
}
