import { createServer } from 'node:http'
import polka from 'polka'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const server = createServer()
before(server)
ownWebSockets(server)
after(server)
polka({ server })
  .get('/hello', (_request, response) => response.end(HELLO))
  .listen(0, 'localhost', () => open(server))
