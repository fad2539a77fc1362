import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Server as NetServer } from 'node:net'
import type { AnyServer } from './listen.js'

/** Node tells of each TCP connection that a server of this process has accepted, before anything of it is read. */
const ACCEPTED = 'net.server.socket'

/**
 * Calls `found` for each twin of a server: another one of this process, on the same port of another address, with one of
 * its request listeners. Fastify on `localhost` listens so, on 127.0.0.1 and ::1, and shows nobody the second server. A
 * twin is found by its first connection, before the first request. Returns the way to end this.
 */
export function watchTwins(server: AnyServer, found: (twin: AnyServer) => void): () => void {
  const known = new WeakSet<AnyServer>([server])
  const onAccepted = (message: unknown): void => {
    const other = acceptedBy(message)
    if (other === undefined || known.has(other) || !isTwin(server, other)) return
    known.add(other)
    found(other)
  }
  subscribe(ACCEPTED, onAccepted)
  return () => void unsubscribe(ACCEPTED, onAccepted)
}

function acceptedBy(message: unknown): AnyServer | undefined {
  const socket = typeof message === 'object' && message !== null && 'socket' in message && message.socket
  const server = typeof socket === 'object' && socket !== null && 'server' in socket && socket.server
  return isServer(server) ? server : undefined
}

// HTTP/2's servers are none of node:http; what is no HTTP server at all has no listener for requests.
function isServer(server: unknown): server is AnyServer {
  return server instanceof NetServer
}

function isTwin(server: AnyServer, other: AnyServer): boolean {
  const port = portOf(server)
  if (port === undefined || port !== portOf(other)) return false
  const listeners = new Set<unknown>(server.listeners('request'))
  return other.listeners('request').some((listener) => listeners.has(listener))
}

function portOf(server: AnyServer): number | undefined {
  const address = server.address()
  return typeof address === 'object' ? address?.port : undefined
}
