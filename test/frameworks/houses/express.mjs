import { createServer } from 'node:http'
import express from 'express'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const app = express()
app.get('/hello', (_request, response) => void response.send(HELLO))
const server = createServer(app)
peerage.attach(server)
ownWebSockets(server)
server.listen(0, 'localhost', () => open(server))
