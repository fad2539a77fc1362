import type { OnError, Readiness } from '@peerage/core'
import { createServer, type Server } from 'node:http'
import { HTTP_OPTIONS, bounded, listenTcp } from './listen.js'
import type { Metrics } from '../metrics/metrics.js'

export interface AdminOptions {
  metrics: Metrics
  readiness: () => Readiness
  onError: OnError
}

/** Opens the admin port, for operators only: `/metrics`, and `/readyz` with all details. Rejects with PortUnavailable. */
export async function listenAdmin(
  at: { host: string; port: number },
  { metrics, readiness, onError }: AdminOptions,
): Promise<{ server: Server; port: number }> {
  const server = createServer(HTTP_OPTIONS, (request, response) => {
    const answer = (status: number, type: string, text: string): void =>
      void response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(text)
    const path = request.url?.split('?', 1)[0]
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (isRead && path === '/readyz') {
      const now = readiness()
      answer(now.ready ? 200 : 503, 'application/json', JSON.stringify(now))
    } else if (isRead && path === '/metrics') {
      metrics.registry.metrics().then(
        (text) => answer(200, metrics.registry.contentType, text),
        (error: unknown) => {
          onError(error, { stage: 'metrics' })
          answer(500, 'text/plain', 'the metrics could not be read; the log says why\n')
        },
      )
    } else answer(404, 'text/plain', 'not found; try /metrics or /readyz\n')
  })
  const { port } = await listenTcp(bounded(server), { ...at, setting: 'admin.port (--admin-port)' })
  // This happens, for example, if the process has too many open files.
  server.on('error', (error) => onError(error, { stage: 'admin port' }))
  return { server, port }
}
