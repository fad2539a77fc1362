import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = new Hono()
app.get('/hello', (context) => context.text(HELLO))
const server = serve({ fetch: app.fetch, port: 0, hostname: 'localhost' }, () => open(server))
before(server)
ownWebSockets(server)
after(server)
