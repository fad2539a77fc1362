import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Gateway, Wire } from '@peerage/core'
import { UNKNOWN_PATH, refuseUpgrade, type RefusalParts } from './gateway/refuse-upgrade.js'
import type { AnyServer } from './listen.js'

/** A gateway that comes in over HTTP. Both answer true when the request is theirs, and false without touching it. */
export interface HttpGateway extends Gateway {
  readonly wire: Wire
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  handleRequest?(request: IncomingMessage, response: ServerResponse): boolean
  /** Open connections now. */
  readonly connections: number
}

/**
 * Takes what is ours from a server that others use too, and leaves them the rest: upgrades through one more
 * listener, requests before any listener sees them, so that it does not matter who came first. Returns the way
 * back.
 */
export function attachTo(
  server: AnyServer,
  gateways: readonly HttpGateway[],
  parts: RefusalParts,
): () => void {
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (gateways.some((gateway) => gateway.handleUpgrade(request, socket, head))) return
    // Nobody else listens, so nobody would ever answer it.
    if (server.listenerCount('upgrade') === 1) refuseUpgrade(socket, 'none', UNKNOWN_PATH, parts)
    // It is somebody else's. Where all of them leave it alone, or take their time, a reset must not end the process.
    else socket.on('error', () => {})
  }
  server.on('upgrade', onUpgrade)
  const giveBack = interceptRequests(server, (request, response) =>
    gateways.some((gateway) => gateway.handleRequest?.(request, response) ?? false),
  )
  return () => {
    server.off('upgrade', onUpgrade)
    giveBack()
  }
}

// A listener cannot keep a request from the other listeners, and one that takes their place (as engine.io does)
// is blind to those that come later. So this stands before all of them.
function interceptRequests(
  server: AnyServer,
  take: (request: IncomingMessage, response: ServerResponse) => boolean,
): () => void {
  let active = true
  const emit = server.emit
  const intercept = (event: string | symbol, ...args: unknown[]): boolean => {
    const [request, response] = args
    if (
      active &&
      event === 'request' &&
      isRequest(request) &&
      isResponse(response) &&
      take(request, response)
    )
      return true
    return Boolean(Reflect.apply(emit, server, [event, ...args]))
  }
  Object.defineProperty(server, 'emit', { configurable: true, writable: true, value: intercept })
  return () => {
    active = false
    if (Object.is(server.emit, intercept)) Reflect.deleteProperty(server, 'emit')
  }
}

function isRequest(input: unknown): input is IncomingMessage {
  return typeof input === 'object' && input !== null && 'headers' in input && 'url' in input
}

function isResponse(input: unknown): input is ServerResponse {
  return typeof input === 'object' && input !== null && 'writeHead' in input
}
