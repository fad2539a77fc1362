// An application server on Node's plain HTTP that is also a node of the cluster.
import { createServer } from 'node:http'
import { createPeerage } from '@peerage/server'
import { settings, untilTold } from './settings.mjs'

const { port, redis, p2pServer } = settings()
const server = createServer((request, response) => response.end('stock: 7 cups\n'))
const peerage = createPeerage({
  redis: { url: redis },
  links: { host: '127.0.0.1' }, // use '0.0.0.0' for several machines; messages between nodes then go directly
  p2p: { server: p2pServer },
}).attach(server)
server.listen(port, '127.0.0.1')
await peerage.ready()
console.log(JSON.stringify({ msg: 'ready', port: server.address().port }))

await untilTold()
await peerage.drain()
server.close()
