import Fastify from 'fastify'
import websocket from '@fastify/websocket'
import { HELLO, open, peerage } from './common.mjs'

const app = Fastify()
await app.register(websocket)
app.get('/hello', () => HELLO)
app.get('/own', { websocket: true }, (socket) => {
  socket.on('message', (data) => socket.send(String(data)))
})
peerage.attach(app.server)
await app.listen({ port: 0, host: 'localhost' })
open(app.server, () => app.close())
