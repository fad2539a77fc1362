import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Server as NetServer } from 'node:net'
import type { AnyServer } from './listen.js'

/** Node publishes each TCP connection that a server of this process accepts here, before anything is read from it. */
const ACCEPTED = 'net.server.socket'

/**
 * Calls `found` for each sibling of a server. A sibling is another server of this process on the same port of another
 * address that shares a request listener. Fastify on `localhost` has one: it listens on 127.0.0.1 and ::1, and does not
 * expose the second server. A sibling is found with its first connection, before the first request. Returns a function
 * that ends this.
 */
export function watchSiblings(server: AnyServer, found: (sibling: AnyServer) => void): () => void {
  const known = new WeakSet<AnyServer>([server])
  const onAccepted = (message: unknown): void => {
    const other = acceptedBy(message)
    if (other === undefined || known.has(other) || !isSibling(server, other)) return
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

// We accept any net server here, because HTTP/2 servers are not instances of the server class of node:http. A server
// without HTTP has no request listeners, so it does not count as a sibling.
function isServer(server: unknown): server is AnyServer {
  return server instanceof NetServer
}

function isSibling(server: AnyServer, other: AnyServer): boolean {
  const port = portOf(server)
  if (port === undefined || port !== portOf(other)) return false
  const listeners = new Set<unknown>(server.listeners('request'))
  return other.listeners('request').some((listener) => listeners.has(listener))
}

function portOf(server: AnyServer): number | undefined {
  const address = server.address()
  return typeof address === 'object' ? address?.port : undefined
}
