import { createServer } from 'node:http'
import express from 'express'
import expressWs from 'express-ws'
import { HELLO, open, peerage } from './common.mjs'

const app = express()
const server = createServer(app)
expressWs(app, server)
app.get('/hello', (_request, response) => void response.send(HELLO))
app.ws('/own', (socket) => socket.on('message', (data) => socket.send(String(data))))
peerage.attach(server)
server.listen(0, 'localhost', () => open(server))
