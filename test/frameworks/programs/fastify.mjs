// Fastify listens on both addresses of localhost, with one server for each.
import Fastify from 'fastify'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = Fastify()
app.get('/hello', () => HELLO)
before(app.server)
ownWebSockets(app.server)
after(app.server)
await app.listen({ port: 0, host: 'localhost' })
open(app.server, () => app.close())
