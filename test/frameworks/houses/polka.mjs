import { createServer } from 'node:http'
import polka from 'polka'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const server = createServer()
peerage.attach(server)
ownWebSockets(server)
polka({ server })
  .get('/hello', (_request, response) => response.end(HELLO))
  .listen(0, 'localhost', () => open(server))
