import { createServer } from 'node:http'
import Koa from 'koa'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = new Koa()
app.use((context) => void (context.body = HELLO))
const server = createServer(app.callback())
before(server)
ownWebSockets(server)
after(server)
server.listen(0, 'localhost', () => open(server))
