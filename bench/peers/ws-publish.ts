/**
 * The least that carries a message across nodes: ws → PUBLISH → ws. A frame is `name\nbody`, and each name is a Redis
 * channel. It has no claims, fences, stamps, limits or acknowledgements.
 */
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { WebSocketServer, type WebSocket } from 'ws'

const { values } = parseArgs({ options: { redis: { type: 'string' } } })
if (values.redis === undefined) throw new Error('--redis is missing')

const publisher = new Redis(values.redis)
const subscriber = publisher.duplicate()
const sockets = new Map<string, WebSocket>()

subscriber.on('message', (channel: string, body: string) => sockets.get(channel)?.send(body))

const http = createServer()
const server = new WebSocketServer({ server: http })
server.on('connection', (socket, request) => {
  const name = new URL(request.url ?? '/', 'http://localhost').searchParams.get('name') ?? ''
  sockets.set(name, socket)
  void subscriber.subscribe(name).then(() => socket.send('ready'))
  socket.on('message', (data: Buffer) => {
    const text = data.toString()
    const cut = text.indexOf('\n')
    void publisher.publish(text.slice(0, cut), text.slice(cut + 1))
  })
  socket.on('close', () => {
    sockets.delete(name)
    void subscriber.unsubscribe(name)
  })
})

http.listen(0, '127.0.0.1', () => {
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  console.log(JSON.stringify({ msg: 'ready', url: `http://127.0.0.1:${address.port}`, port: address.port }))
})
