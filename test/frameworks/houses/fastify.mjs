// Fastify listens on both addresses of localhost, with a server each.
import Fastify from 'fastify'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const app = Fastify()
app.get('/hello', () => HELLO)
peerage.attach(app.server)
ownWebSockets(app.server)
await app.listen({ port: 0, host: 'localhost' })
open(app.server, () => app.close())
