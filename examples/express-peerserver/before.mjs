// An Express application with PeerJS's own server, as its documentation mounts it.
import { createServer } from 'node:http'
import express from 'express'
import { ExpressPeerServer } from 'peer'

const app = express()
app.get('/hello', (request, response) => response.send('hello'))

const server = createServer(app)
app.use('/calls', ExpressPeerServer(server, { path: '/' }))
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'listening', port: server.address().port }))
})
