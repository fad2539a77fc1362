import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { loadClient } from '../http/client-files.js'
import { loadPage } from '../http/page.js'
import { createRoutes } from '../http/routes.js'
import { greeting } from '../lib/greeting.js'

/** Serves a built page as a node does, on a free port of loopback: with the same paths, headers and policy. */
export async function serveBuiltPage(directory: string): Promise<{ url: string; stop(): Promise<void> }> {
  const routes = createRoutes({
    base: '/',
    readiness: () => ({ ready: true }),
    version: { version: '0.0.0', protocol: 1 },
    page: loadPage(directory),
    client: loadClient('0.0.0'),
    greeting,
    wires: [],
    onError: (error) => {
      throw error
    },
  })
  const listener = getRequestListener(routes.fetch, { overrideGlobalObjects: false, hostname: 'localhost' })
  const server = createServer((request, response) => void listener(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
