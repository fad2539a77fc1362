import { createServer } from 'node:http'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const server = createServer((_request, response) => response.end(HELLO))
before(server)
ownWebSockets(server)
after(server)
server.listen(0, 'localhost', () => open(server))
