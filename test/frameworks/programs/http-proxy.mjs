// A proxy forwards every upgrade of its server to a target that echoes.
import { once } from 'node:events'
import { createServer } from 'node:http'
import proxies from 'http-proxy'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const target = createServer()
ownWebSockets(target)
await once(target.listen(0, '127.0.0.1'), 'listening')
const proxy = proxies.createProxyServer({ target: `http://127.0.0.1:${target.address().port}`, ws: true })
proxy.on('error', console.error)
const server = createServer((_request, response) => response.end(HELLO))
before(server)
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head))
after(server)
server.listen(0, 'localhost', () =>
  open(server, () => {
    target.close()
    target.closeAllConnections()
    server.close()
  }),
)
