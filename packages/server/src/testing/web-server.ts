import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** An HTTP server at 127.0.0.1 for one test. */
export interface WebServer {
  url: string
  port: number
  /** Answers the requests from now on. */
  answer: RequestListener
  /** How many requests came. */
  readonly count: number
  /** How many connections came. */
  readonly connections: number
  /** Stops to listen, and breaks all connections. */
  close(): Promise<void>
}

/** `port`: where to listen. Default: a free one. */
export async function webServer(answer: RequestListener, port = 0): Promise<WebServer> {
  let count = 0
  let connections = 0
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    count++
    web.answer(request, response)
  })
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const address = server.address() as AddressInfo
  const web: WebServer = {
    url: `http://127.0.0.1:${address.port}/`,
    port: address.port,
    answer,
    close,
    get count() {
      return count
    },
    get connections() {
      return connections
    },
  }
  onTestFinished(close)
  return web
}

/** Answers with JSON, after the body of the request was read. */
export function json(value: unknown, status = 200): RequestListener {
  return (request, response) => {
    request.resume()
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }
}
