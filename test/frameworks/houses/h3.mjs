import { createServer } from 'node:http'
import { H3, toNodeHandler } from 'h3'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const app = new H3()
app.get('/hello', () => HELLO)
const server = createServer(toNodeHandler(app))
peerage.attach(server)
ownWebSockets(server)
server.listen(0, 'localhost', () => open(server))
