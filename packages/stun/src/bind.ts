// The sockets that a STUN server is given. The caller opens them and closes them.
import { type Socket, createSocket } from 'node:dgram'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import { type Server, createServer, isIP, isIPv6 } from 'node:net'

/**
 * A UDP socket bound to `address` and `port` (0: a free one). An IPv6 address takes IPv6 only, so that
 * `0.0.0.0` and `::` can be bound side by side. Rejects with the system's error (EADDRINUSE, EACCES…). Until it is
 * closed it has an `error` listener of its own, so that an error that nobody else hears does not end the process.
 */
export async function bindUdp(address: string, port: number): Promise<Socket> {
  const ipv6 = isIPv6(address)
  const socket = createSocket({
    type: ipv6 ? 'udp6' : 'udp4',
    ipv6Only: ipv6,
    // Node looks up the destination of every datagram, a full turn of the event loop even for an IP address.
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
 * A TCP server listening on `address` and `port` (0: a free one). Rejects with the system's error. It hears its own
 * errors, as a socket of `bindUdp` does.
 */
export async function listenTcp(address: string, port: number): Promise<Server> {
  const server = createServer({ noDelay: true })
  server.on('error', () => {})
  // Who comes before a STUN server has started, or after it has stopped, is served by nobody: a connection without a
  // listener would be kept, and its reset would end the process.
  server.on('connection', (socket) => {
    if (server.listenerCount('connection') === 1) socket.destroy()
  })
  const listening = once(server, 'listening')
  server.listen({ host: address, port, ipv6Only: isIPv6(address) })
  await listening
  return server
}
