import { getRequestListener } from '@hono/node-server'
import type { OnError, Readiness } from '@peerage/core'
import { PROTOCOL_VERSION } from '@peerage/protocol'
import { asBase } from '../config/kinds.js'
import type { Config } from '../config/schema.js'
import { loadClient } from './client-files.js'
import { createRoutes } from './routes.js'
import { greeting } from '../lib/greeting.js'
import type { AnyServer } from './listen.js'
import { createNodeServer } from './node-server.js'
import { loadPage } from './page.js'
import type { TlsFiles } from '../config/tls-files.js'
import { urlWires } from '../config/url-wires.js'
import { readVersion } from '../lib/version.js'

interface OwnServerOptions {
  readiness: () => Readiness
  files: TlsFiles
  onError: OnError
}

/**
 * Creates the HTTP server of a standalone node, with probes, version and page. It does not listen yet. Throws
 * UnusableFile.
 */
export function createOwnServer(config: Config, { readiness, files, onError }: OwnServerOptions): AnyServer {
  const routes = createRoutes({
    base: asBase(config.path),
    readiness,
    version: { version: readVersion(), protocol: PROTOCOL_VERSION },
    page: config.page ? loadPage() : undefined,
    client: loadClient(readVersion()),
    greeting,
    wires: urlWires(config),
    onError,
  })
  // The probe of a balancer over HTTP/1.0 has no Host header.
  const listener = getRequestListener(routes.fetch, { overrideGlobalObjects: false, hostname: 'localhost' })
  return createNodeServer(config.tls, files, (request, response) => void listener(request, response))
}
