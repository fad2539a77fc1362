// Makes the sockets for a STUN server. The caller opens and closes them.
import { type Socket, createSocket } from 'node:dgram'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import { type Server, createServer, isIP, isIPv6 } from 'node:net'

/**
 * A UDP socket bound to `address` and `port` (0: a free port). A socket on an IPv6 address accepts IPv6 only, so
 * that `0.0.0.0` and `::` can be bound side by side. Rejects with the system's error (EADDRINUSE, EACCES…). The
 * socket has its own `error` listener until it is closed, so that an error does not end the process [STUN56].
 */
export async function bindUdp(address: string, port: number): Promise<Socket> {
  const ipv6 = isIPv6(address)
  const socket = createSocket({
    type: ipv6 ? 'udp6' : 'udp4',
    ipv6Only: ipv6,
    // Node looks up the destination of every datagram. Even for an IP address that takes a turn of the event loop.
    lookup: (host, options, done) => {
      const family = isIP(host)
      if (family !== 0) done(null, host, family)
      else lookup(host, options, done)
    },
  })
  socket.on('error', () => {})
  const bound = once(socket, 'listening')
  socket.bind({ address, port })
  try {
    await bound
  } catch (error) {
    socket.close()
    throw error
  }
  return socket
}

/**
 * A TCP server that listens on `address` and `port` (0: a free port). Rejects with the system's error. Like a socket
 * of `bindUdp`, it has its own `error` listener.
 */
export async function listenTcp(address: string, port: number): Promise<Server> {
  const server = createServer({ noDelay: true })
  server.on('error', () => {})
  // No STUN server takes a connection that arrives before its start or after its stop. Such a connection would stay
  // open without an `error` listener, and a reset of it would end the process [STUN55].
  server.on('connection', (socket) => {
    if (server.listenerCount('connection') === 1) socket.destroy()
  })
  const listening = once(server, 'listening')
  server.listen({ host: address, port, ipv6Only: isIPv6(address) })
  await listening
  return server
}
