// `app.listen` makes the server, so the node is attached to a server that already listens.
import express from 'express'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = express()
app.get('/hello', (_request, response) => void response.send(HELLO))
const server = app.listen(0, 'localhost', () => {
  before(server)
  ownWebSockets(server)
  after(server)
  open(server)
})
