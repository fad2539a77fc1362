// The application's WebSocket server was there first.
import { createServer } from 'node:http'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const server = createServer((_request, response) => response.end(HELLO))
ownWebSockets(server)
peerage.attach(server)
server.listen(0, 'localhost', () => open(server))
