import { createServer as createHttp, type RequestListener } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { Config } from '../config/schema.js'
import type { TlsFiles } from '../config/tls-files.js'
import { HTTPS_OPTIONS, HTTP_OPTIONS, bounded, type AnyServer } from './listen.js'

/** The oldest TLS version that is served. */
const TLS_LEAST = { minVersion: 'TLSv1.2' } as const

/** Creates an HTTP server of the node, with TLS if it is configured. It does not listen yet. Throws UnusableFile. */
export function createNodeServer(tls: Config['tls'], files: TlsFiles, handle: RequestListener): AnyServer {
  if (tls.cert === null) return bounded(createHttp(HTTP_OPTIONS, handle))
  const texts = files.add('tls', tls, (renewed) => server.setSecureContext({ ...renewed, ...TLS_LEAST }))
  const server = bounded(createHttps({ ...HTTPS_OPTIONS, ...texts, ...TLS_LEAST }, handle))
  return server
}
