// In middleware mode Vite uses the same server for its hot reloading.
import { createServer } from 'node:http'
import { createServer as createVite } from 'vite'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const server = createServer((request, response) => {
  if (request.url === '/hello') response.end(HELLO)
  else vite.middlewares(request, response)
})
before(server)
ownWebSockets(server)
const vite = await createVite({
  root: import.meta.dirname,
  configFile: false,
  logLevel: 'error',
  appType: 'custom',
  server: { middlewareMode: true, hmr: { server } },
})
after(server)
server.listen(0, 'localhost', () =>
  open(server, () => {
    server.close()
    return vite.close()
  }),
)
