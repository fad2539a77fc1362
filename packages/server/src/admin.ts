import { createServer, type Server } from 'node:http'
import { listenTcp } from './listen.js'
import type { Metrics } from './metrics.js'

/** The admin port: `/metrics`, for the operator alone. Rejects with PortUnavailable. */
export async function listenAdmin(
  at: { host: string; port: number },
  metrics: Metrics,
): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0]
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found; try /metrics\n')
      return
    }
    metrics.registry.metrics().then(
      (text) => response.writeHead(200, { 'Content-Type': metrics.registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500, { 'Content-Type': 'text/plain' }).end(String(error)),
    )
  })
  const { port } = await listenTcp(server, { ...at, flag: '--admin-port' })
  return { server, port }
}
