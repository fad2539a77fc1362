import { createServer as createHttp } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { readFileSync } from 'node:fs'
import { getRequestListener } from '@hono/node-server'
import type { OnError, Readiness } from '@peerage/core'
import { PROTOCOL_VERSION } from '@peerage/protocol'
import type { Config } from './config.js'
import { createRoutes } from './http.js'
import { greeting } from './gateway/peerjs-http.js'
import { HTTPS_OPTIONS, HTTP_OPTIONS, bounded, type AnyServer } from './listen.js'
import { reasonOf } from './config-load.js'
import { loadPage } from './page.js'
import { readVersion } from './version.js'

/** A file that the configuration names and that cannot be used. */
export class UnusableFile extends Error {
  override readonly name = 'UnusableFile'
}

/** The HTTP server of a node of its own: probes, version and page. It does not listen yet. */
export function createOwnServer(config: Config, readiness: () => Readiness, onError: OnError): AnyServer {
  const routes = createRoutes({
    readiness,
    version: { version: readVersion(), protocol: PROTOCOL_VERSION },
    page: config.page ? loadPage() : undefined,
    greeting,
    onError,
  })
  // A balancer's probe over HTTP/1.0 carries no Host.
  const listener = getRequestListener(routes.fetch, { overrideGlobalObjects: false, hostname: 'localhost' })
  const handle: Parameters<typeof createHttp>[1] = (request, response) => void listener(request, response)
  const { cert, key } = config.tls
  if (cert === null || key === null) return bounded(createHttp(HTTP_OPTIONS, handle))
  try {
    const files = { cert: readFileSync(cert), key: readFileSync(key) }
    return bounded(createHttps({ ...HTTPS_OPTIONS, ...files, minVersion: 'TLSv1.2' }, handle))
  } catch (error) {
    throw new UnusableFile(`tls.cert (${cert}) and tls.key (${key}) cannot be used: ${reasonOf(error)}`)
  }
}
