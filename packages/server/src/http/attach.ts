import { ServerResponse, type IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'
import type { HttpGateway } from '../gateway/http-gateway.js'
import {
  UNKNOWN_PATH,
  endSoon,
  refuseUpgrade,
  type RefusalOptions,
} from '../gateway/shared/refuse-upgrade.js'
import type { AnyServer } from './listen.js'
import { watchTwins } from './twins.js'

/** A node, as it holds a path of a server. */
interface Holder {
  /** One that has been stopped, or drains, stands in nobody's way. */
  readonly hasEnded: () => boolean
}

export interface AttachOptions extends RefusalOptions {
  gateways: readonly HttpGateway[]
  holder: Holder
}

/** The listeners of all nodes in this process, by which one knows them from an application's. */
const lastResorts = new WeakSet<object>()

/**
 * Takes what is ours from a server that others use too, and leaves them the rest: upgrades and requests before any
 * listener sees them, so that it does not matter who came first. Its twins are the same service. Returns the way back.
 * @throws Error where this node, or another one, takes the same path of the server already
 */
export function attachTo(server: AnyServer, options: AttachOptions): () => void {
  const undo = [takePlaces(server, options), takeFrom(server, options)]
  const forget = watchTwins(server, (twin) => {
    // One that a node was attached to is that node's.
    if (!isAttached(twin)) undo.push(takeFrom(twin, options))
  })
  return () => {
    forget()
    for (const back of undo.reverse()) back()
  }
}

/** Who takes each path of a server. */
const holders = new WeakMap<AnyServer, Map<string, Holder>>()

/** Nodes of one process may share a server at different paths. At one path, one of two nodes would hear nothing. */
function takePlaces(server: AnyServer, { gateways, holder }: AttachOptions): () => void {
  const places = gateways.map(({ endpoint }) => endpoint)
  const here = holders.get(server) ?? new Map<string, Holder>()
  for (const { path, setting } of places) {
    const other = here.get(path)
    if (other === holder) throw new Error('this node is attached to this server already: attach it once')
    if (other !== undefined && !other.hasEnded())
      throw new Error(
        `another node of this process takes ${path} of this server already: attach one node to a server, or give this one another ${setting}`,
      )
  }
  for (const { path } of places) here.set(path, holder)
  holders.set(server, here)
  return () => {
    for (const { path } of places) if (here.get(path) === holder) here.delete(path)
  }
}

function isAttached(server: AnyServer): boolean {
  return server.listeners('upgrade').some((listener) => lastResorts.has(listener))
}

function takeFrom(server: AnyServer, options: AttachOptions): () => void {
  const { gateways, clock } = options
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
      answerAsRequest(server, request, socket, clock)
    else refuseUpgrade(socket, 'none', UNKNOWN_PATH, options)
  }
  lastResorts.add(onUpgrade)
  server.on('upgrade', onUpgrade)
  // An application that clears all listeners of upgrades means its own.
  const onRemoved = (event: string | symbol, listener: unknown): void => {
    if (event === 'upgrade' && listener === onUpgrade) server.on('upgrade', onUpgrade)
  }
  server.on('removeListener', onRemoved)
  return () => {
    server.off('removeListener', onRemoved)
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
// where another one has answered. One that takes their endpoint (as engine.io does) is blind to those that come later. So
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
