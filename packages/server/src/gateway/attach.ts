import { ServerResponse, type IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock, Wire } from '@peerage/core'
import { UNKNOWN_PATH, endSoon, refuseUpgrade, type RefusalParts } from './shared/refuse-upgrade.js'
import type { AnyServer } from '../http/listen.js'
import type { Place } from './places.js'
import { watchTwins } from './twins.js'

/**
 * One wire's entrance to a node. It turns frames into messages and outcomes into frames, and decides nothing else. Both
 * handlers answer true when the request is theirs, and false without touching it.
 */
export interface HttpGateway {
  readonly wire: Wire
  /** Where its upgrades come in. */
  readonly place: Place
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  handleRequest?(request: IncomingMessage, response: ServerResponse): boolean
  /** Open connections now. */
  readonly connections: number
  start(): void | Promise<void>
  /** Tells its peers to move, in batches with jitter, within `ms`; takes no more. */
  drain(ms: number): Promise<void>
  /** Ends what is left. Afterwards no timer, no listener and no socket of it remains. */
  stop(): void | Promise<void>
}

/** The listeners of all nodes in this process, by which one knows them from an application's. */
const lastResorts = new WeakSet<object>()

/**
 * Takes what is ours from a server that others use too, and leaves them the rest: upgrades and requests before any
 * listener sees them, so that it does not matter who came first. Its twins are the same service. Returns the way back.
 */
export function attachTo(
  server: AnyServer,
  gateways: readonly HttpGateway[],
  parts: RefusalParts,
): () => void {
  const undo = [takeFrom(server, gateways, parts)]
  const forget = watchTwins(server, (twin) => {
    // One that a node was attached to is that node's.
    if (!isAttached(twin)) undo.push(takeFrom(twin, gateways, parts))
  })
  return () => {
    forget()
    for (const back of undo.reverse()) back()
  }
}

function isAttached(server: AnyServer): boolean {
  return server.listeners('upgrade').some((listener) => lastResorts.has(listener))
}

function takeFrom(server: AnyServer, gateways: readonly HttpGateway[], parts: RefusalParts): () => void {
  const giveBack = intercept(server, {
    request: (request, response) =>
      gateways.some((gateway) => gateway.handleRequest?.(request, response) ?? false),
    upgrade: (request, socket, head) =>
      gateways.some((gateway) => gateway.handleUpgrade(request, socket, head)),
  })
  // Without a listener, Node takes upgrades for requests. What comes here was no node's.
  const onUpgrade = (request: IncomingMessage, socket: Duplex): void => {
    const listeners = server.listeners('upgrade')
    // Where an application's listeners all leave it alone, or take their time, a reset must not end the process.
    if (!listeners.every((listener) => lastResorts.has(listener))) socket.on('error', () => {})
    // Nobody else listens, so nobody would ever answer it.
    else if (listeners[0] !== onUpgrade) return
    else if (socket instanceof Socket && mayStayRequest(request))
      answerAsRequest(server, request, socket, parts.clock)
    else refuseUpgrade(socket, 'none', UNKNOWN_PATH, parts)
  }
  lastResorts.add(onUpgrade)
  server.on('upgrade', onUpgrade)
  return () => {
    server.off('upgrade', onUpgrade)
    giveBack()
  }
}

/** A request without a body that asks for anything but a WebSocket, such as the h2c of Java's HTTP client or of curl. */
function mayStayRequest({ headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  return !hasBody && !headers.upgrade?.toLowerCase().includes('websocket')
}

/** A server may ignore an upgrade that it does not know (RFC 9110 §7.8). */
function answerAsRequest(server: AnyServer, request: IncomingMessage, socket: Socket, clock: Clock): void {
  socket.on('error', () => {})
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.once('finish', () => {
    endSoon(socket, clock)
    socket.end()
  })
  server.emit('request', request, response)
}

interface Takers {
  request: (request: IncomingMessage, response: ServerResponse) => boolean
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean
}

// A listener cannot keep an event from the other listeners: ws answers 400 to each upgrade off its path, and throws
// where another one has answered. One that takes their place (as engine.io does) is blind to those that come later. So
// this stands before all of them.
function intercept(server: AnyServer, take: Takers): () => void {
  let active = true
  // An application may have put one of its own there, and another node has.
  const before = Object.getOwnPropertyDescriptor(server, 'emit')
  const emit = server.emit
  const takes = (event: string | symbol, [request, second, head]: unknown[]): boolean => {
    if (!active || !isRequest(request)) return false
    if (event === 'request') return isResponse(second) && take.request(request, second)
    return (
      event === 'upgrade' &&
      second instanceof Duplex &&
      Buffer.isBuffer(head) &&
      take.upgrade(request, second, head)
    )
  }
  const intercepted = (event: string | symbol, ...args: unknown[]): boolean =>
    takes(event, args) || Boolean(Reflect.apply(emit, server, [event, ...args]))
  Object.defineProperty(server, 'emit', { configurable: true, writable: true, value: intercepted })
  return () => {
    active = false
    // Where somebody stands before this one, it stays, and hands everything on.
    if (!Object.is(server.emit, intercepted)) return
    if (before === undefined) Reflect.deleteProperty(server, 'emit')
    else Object.defineProperty(server, 'emit', before)
  }
}

function isRequest(input: unknown): input is IncomingMessage {
  return typeof input === 'object' && input !== null && 'headers' in input && 'url' in input
}

function isResponse(input: unknown): input is ServerResponse {
  return typeof input === 'object' && input !== null && 'writeHead' in input
}
