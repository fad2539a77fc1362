import { ServerResponse, type IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'
import type { HttpGateway, RequestTaker } from '../gateway/http-gateway.js'
import { endSoon, refuseUpgrade, type RefusalOptions } from '../gateway/shared/refuse-upgrade.js'
import { splitUrl } from '../gateway/shared/url-credentials.js'
import type { AnyServer } from './listen.js'
import { watchSiblings } from './sibling-servers.js'
import type { Unserved } from './unserved.js'

/** A node, as the owner of some paths of a server. */
interface PathOwner {
  /** True once the node stops or drains. Another node may then take its paths. */
  readonly hasEnded: () => boolean
}

export interface AttachOptions extends RefusalOptions {
  gateways: readonly HttpGateway[]
  /** Takes requests before the gateways: the API of the node, if it is on this server. */
  api?: RequestTaker | undefined
  owner: PathOwner
  /** Called for an upgrade at this path that nobody takes. */
  unserved: (path: string) => Unserved
}

/** The upgrade listeners of all nodes in this process, to distinguish them from listeners of the application. */
const nodeListeners = new WeakSet<object>()

/**
 * Takes the requests and upgrades of a node from a server of an application, and leaves all others to the application. It
 * takes them before any listener sees them, so the order of listeners does not matter. It does the same on sibling servers.
 * Returns a function that undoes all this.
 * @throws Error if this node, or another one, uses the same path of the server already
 */
export function attachTo(server: AnyServer, options: AttachOptions): () => void {
  const undo = [takePaths(server, options), takeFrom(server, options)]
  const forget = watchSiblings(server, (sibling) => {
    // If a node is attached to the sibling itself, the sibling belongs to that node.
    if (!isAttached(sibling)) undo.push(takeFrom(sibling, options))
  })
  return () => {
    forget()
    for (const back of undo.reverse()) back()
  }
}

/** The node that owns each path of a server. */
const owners = new WeakMap<AnyServer, Map<string, PathOwner>>()

/** Nodes of one process may share a server at different paths. At the same path, one of two nodes would get nothing. */
function takePaths(server: AnyServer, { gateways, owner }: AttachOptions): () => void {
  const endpoints = gateways.map(({ endpoint }) => endpoint)
  const here = owners.get(server) ?? new Map<string, PathOwner>()
  for (const { path, setting } of endpoints) {
    const other = here.get(path)
    if (other === owner) throw new Error('this node is attached to this server already: attach it once')
    if (other !== undefined && !other.hasEnded())
      throw new Error(
        `another node of this process uses ${path} of this server already: attach only one node to a server, or give this one another ${setting}`,
      )
  }
  for (const { path } of endpoints) here.set(path, owner)
  owners.set(server, here)
  return () => {
    for (const { path } of endpoints) if (here.get(path) === owner) here.delete(path)
  }
}

function isAttached(server: AnyServer): boolean {
  return server.listeners('upgrade').some((listener) => nodeListeners.has(listener))
}

function takeFrom(server: AnyServer, options: AttachOptions): () => void {
  const { gateways, api, clock } = options
  const restore = intercept(server, {
    request: (request, response) =>
      api?.handleRequest(request, response) === true ||
      gateways.some((gateway) => gateway.handleRequest?.(request, response) ?? false),
    upgrade: (request, socket, head) =>
      gateways.some((gateway) => gateway.handleUpgrade(request, socket, head)),
  })
  // Without an upgrade listener, Node would treat upgrades as requests. This one gets the upgrades that no node took.
  const onUpgrade = (request: IncomingMessage, socket: Duplex): void => {
    const listeners = server.listeners('upgrade')
    // The application's listeners may ignore the upgrade or answer it late. A reset meanwhile must not end the process.
    if (!listeners.every((listener) => nodeListeners.has(listener))) socket.on('error', () => {})
    // Only nodes listen, so no other listener answers. The first node answers.
    else if (listeners[0] !== onUpgrade) return
    else if (socket instanceof Socket && isPlainRequest(request))
      answerAsRequest(server, request, socket, clock)
    else {
      const { wire, refusal } = options.unserved(splitUrl(request.url).path)
      refuseUpgrade(socket, wire, refusal, options)
    }
  }
  nodeListeners.add(onUpgrade)
  server.on('upgrade', onUpgrade)
  // An application that removes all upgrade listeners wants to remove its own, so we add this listener again.
  const onRemoved = (event: string | symbol, listener: unknown): void => {
    if (event === 'upgrade' && listener === onUpgrade) server.on('upgrade', onUpgrade)
  }
  server.on('removeListener', onRemoved)
  return () => {
    server.off('removeListener', onRemoved)
    server.off('upgrade', onUpgrade)
    restore()
  }
}

/** Whether a request has no body and asks for another upgrade than WebSocket, such as h2c of curl or Java's HTTP client. */
function isPlainRequest({ headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  return !hasBody && !headers.upgrade?.toLowerCase().includes('websocket')
}

/** Answers an upgrade as a plain request, because a server may ignore an upgrade that it does not know (RFC 9110 §7.8). */
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

/** Each returns true if the node has taken the event. */
interface Interceptors {
  request: (request: IncomingMessage, response: ServerResponse) => boolean
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean
}

// Wraps `emit`, because a listener cannot keep an event from the other listeners. ws answers 400 to each upgrade outside
// its path, and throws if another listener has answered. A listener that replaces all others (as engine.io does) misses
// those that are added later.
function intercept(server: AnyServer, take: Interceptors): () => void {
  let active = true
  // The application may have wrapped `emit` too, or another node of this process.
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
    // If `emit` has been wrapped again since, this wrapper stays and passes everything on.
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
