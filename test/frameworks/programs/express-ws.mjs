import { createServer } from 'node:http'
import express from 'express'
import expressWs from 'express-ws'
import { HELLO, after, before, open } from './common.mjs'

const app = express()
const server = createServer(app)
before(server)
expressWs(app, server)
app.get('/hello', (_request, response) => void response.send(HELLO))
app.ws('/own', (socket) => socket.on('message', (data) => socket.send(String(data))))
after(server)
server.listen(0, 'localhost', () => open(server))
