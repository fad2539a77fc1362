import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const app = new Hono()
app.get('/hello', (context) => context.text(HELLO))
const server = serve({ fetch: app.fetch, port: 0, hostname: 'localhost' }, () => open(server))
peerage.attach(server)
ownWebSockets(server)
