import Fastify from 'fastify'
import websocket from '@fastify/websocket'
import { HELLO, after, before, open } from './common.mjs'

const app = Fastify()
before(app.server)
await app.register(websocket)
app.get('/hello', () => HELLO)
app.get('/own', { websocket: true }, (socket) => {
  socket.on('message', (data) => socket.send(String(data)))
})
// After `listen`, because Fastify then has a server for each address of localhost.
await app.listen({ port: 0, host: 'localhost' })
after(app.server)
open(app.server, () => app.close())
