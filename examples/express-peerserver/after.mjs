// The same application as a node of Peerage, with two changed lines. With a Redis it is one of many nodes.
import { createServer } from 'node:http'
import express from 'express'
import { createPeerage } from '@peerage/server'

const app = express()
app.get('/hello', (request, response) => response.send('hello'))

const server = createServer(app)
createPeerage({ peerjs: { path: '/calls' }, redis: { url: process.argv[3] ?? null } }).attach(server)
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'listening', port: server.address().port }))
})
