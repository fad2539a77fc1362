// A custom server in development mode: Next answers all requests, and the upgrades of its hot reloading.
import { createServer } from 'node:http'
import next from 'next'
import { after, before, open, ownWebSockets } from './common.mjs'

const server = createServer((request, response) => handle(request, response))
before(server)
ownWebSockets(server)
const app = next({ dev: true, dir: import.meta.dirname, hostname: 'localhost', httpServer: server })
await app.prepare()
after(server)
const handle = app.getRequestHandler()
server.listen(0, 'localhost', () =>
  open(server, async () => {
    server.close()
    await app.close()
    // Next's file watchers keep running after its close.
    process.exit(0)
  }),
)
