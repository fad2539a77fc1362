// A custom server in development: Next answers every request, and upgrades for its own hot reloading.
import { createServer } from 'node:http'
import next from 'next'
import { open, ownWebSockets, peerage } from './common.mjs'

const server = createServer((request, response) => handle(request, response))
const app = next({ dev: true, dir: import.meta.dirname, hostname: 'localhost', httpServer: server })
peerage.attach(server)
ownWebSockets(server)
await app.prepare()
const handle = app.getRequestHandler()
server.listen(0, 'localhost', () =>
  open(server, async () => {
    server.close()
    await app.close()
    // Next's watchers of files outlive its close.
    process.exit(0)
  }),
)
