import { createServer } from 'node:http'
import { H3, toNodeHandler } from 'h3'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = new H3()
app.get('/hello', () => HELLO)
const server = createServer(toNodeHandler(app))
before(server)
ownWebSockets(server)
after(server)
server.listen(0, 'localhost', () => open(server))
