import { createServer } from 'node:http'
import Koa from 'koa'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const app = new Koa()
app.use((context) => void (context.body = HELLO))
const server = createServer(app.callback())
peerage.attach(server)
ownWebSockets(server)
server.listen(0, 'localhost', () => open(server))
