import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OnError } from '@peerage/core'
import type { Config } from '../config/schema.js'
import type { TlsFiles } from '../config/tls-files.js'
import { listenTcp, type AnyServer } from './listen.js'
import { createNodeServer } from './node-server.js'

export interface ApiPortOptions {
  config: Pick<Config, 'tls'>
  files: TlsFiles
  answer: (request: IncomingMessage, response: ServerResponse) => void
  onError: OnError
}

/** Opens the port of the API, with TLS if the node has it. Nothing else is served there. Rejects with PortUnavailable. */
export async function listenApi(
  at: { host: string; port: number },
  { config, files, answer, onError }: ApiPortOptions,
): Promise<{ server: AnyServer; port: number }> {
  const server = createNodeServer(config.tls, files, answer)
  const { port } = await listenTcp(server, { ...at, setting: 'api.port (--api-port)' })
  server.on('error', (error) => onError(error, { stage: 'api port' }))
  return { server, port }
}
