import { createServer } from 'node:http'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const server = createServer((_request, response) => response.end(HELLO))
peerage.attach(server)
ownWebSockets(server)
server.listen(0, 'localhost', () => open(server))
