import { createServer } from 'node:http'
import express from 'express'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = express()
app.get('/hello', (_request, response) => void response.send(HELLO))
const server = createServer(app)
before(server)
ownWebSockets(server)
after(server)
server.listen(0, 'localhost', () => open(server))
