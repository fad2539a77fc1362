// An Express application server that is also a node of the cluster.
import { createServer } from 'node:http'
import { createPeerage } from '@peerage/server'
import express from 'express'
import { settings, untilTold } from './settings.mjs'

const { port, redis, p2pServer } = settings()
const app = express()
app.get('/orders', (request, response) => response.json([{ id: 1, item: 'tea' }]))

const server = createServer(app)
const peerage = createPeerage({
  redis: { url: redis },
  links: { host: '127.0.0.1' }, // use '0.0.0.0' for several machines; messages between nodes then go directly
  p2p: { server: p2pServer },
}).attach(server)
server.listen(port, '127.0.0.1')
await peerage.ready()
console.log(JSON.stringify({ msg: 'ready', port: server.address().port }))

await untilTold()
await peerage.drain() // the peers move to the other servers' nodes, or wait for this one
server.close()
