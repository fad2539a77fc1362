// The application has its own socket.io, at the default path.
import { createServer } from 'node:http'
import { Server } from 'socket.io'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const server = createServer((_request, response) => response.end(HELLO))
before(server)
const io = new Server(server)
io.on('connection', (socket) => socket.emit('hello', HELLO))
ownWebSockets(server)
after(server)
server.listen(0, 'localhost', () => open(server, () => io.close()))
