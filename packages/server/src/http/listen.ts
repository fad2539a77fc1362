import { formatHost } from '@peerage/protocol'
import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Socket as UdpSocket } from 'node:dgram'
import { Server as TlsServer } from 'node:tls'
import { inTurn } from '@peerage/core'
import { bindUdp } from '@peerage/stun'
import { reasonOf } from '../lib/reason.js'

export type AnyServer = HttpServer | HttpsServer

/** The longest time that a client may hold a socket with a slow TLS handshake, a slow request, or without reading. */
const STUCK_MS = 10_000
const MAX_HEADER_BYTES = 16_384

/** Options of every HTTP server that a node creates. */
export const HTTP_OPTIONS = {
  headersTimeout: STUCK_MS,
  requestTimeout: STUCK_MS,
  connectionsCheckingInterval: STUCK_MS / 2,
  maxHeaderSize: MAX_HEADER_BYTES,
} as const

export const HTTPS_OPTIONS = { ...HTTP_OPTIONS, handshakeTimeout: STUCK_MS } as const

/**
 * Makes a server end connections whose clients do not read their answers. WebSockets are not affected, because they have
 * their own pings. It also adds an `error` listener, so that an error while nobody else listens does not end the process.
 */
export function bounded<S extends AnyServer>(server: S): S {
  server.timeout = STUCK_MS
  server.on('error', () => {})
  return server
}

/**
 * The error for a port that a node cannot open. The message says which port, why, and what to do, such as "TCP port 9000
 * on 127.0.0.1 is taken by another process", with the command that shows the process.
 */
export class PortUnavailable extends Error {
  override readonly name = 'PortUnavailable'
  /** True if another process listens on the port. False if it fails for another reason, such as missing privileges. */
  readonly isTaken: boolean

  constructor(message: string, { isTaken = false } = {}) {
    super(message)
    this.isTaken = isTaken
  }
}

/** How often to try for a free pair of ports. For about one port in a hundred, the next port is in use. */
const PAIR_ATTEMPTS = 50

/**
 * How many connections may wait to be accepted. The system caps this (Linux: net.core.somaxconn, 4096). When a node
 * dies, all its peers connect to the other nodes at once. With Node's default of 511, those that are turned away would
 * retry after 1, 3, 7 and 15 s.
 */
const BACKLOG = 65_535

/** Where to listen, and which setting says so. */
export interface ListenAt {
  host: string
  /** 0 picks a free port. */
  port: number
  /** The setting of the port and its flag, such as `links.port (--links-port)`. */
  setting: string
}

/** Listens on TCP and, with `withUdp`, binds UDP on the next port. Port 0 picks a free pair. */
export async function listenPair(
  server: AnyServer,
  at: ListenAt,
  withUdp: boolean,
): Promise<{ port: number; udp: UdpSocket[] }> {
  for (let attempt = 1; ; attempt++) {
    const { port, address } = await listenTcp(server, at)
    if (!withUdp) return { port, udp: [] }
    try {
      return { port, udp: await bindNeighbour(address, port) }
    } catch (error) {
      await closeServer(server)
      if (at.port !== 0 || attempt === PAIR_ATTEMPTS) throw error
    }
  }
}

export async function listenTcp(server: AnyServer, at: ListenAt): Promise<AddressInfo> {
  if (server instanceof TlsServer) keepConnections(server)
  server.listen({ port: at.port, host: at.host, backlog: BACKLOG })
  try {
    await once(server, 'listening')
  } catch (error) {
    throw tcpUnavailable(error, at)
  }
  return addressOf(server)
}

export function tcpUnavailable(error: unknown, at: ListenAt): PortUnavailable {
  return unavailable(error, at, { what: 'TCP', ask: 'ss -ltnp' })
}

/** Binds the UDP sockets of the P2P server, at the same address on TCP port + 1. `::` includes IPv4, as with TCP. */
export async function bindNeighbour(address: string, tcpPort: number): Promise<UdpSocket[]> {
  const port = tcpPort + 1
  const sockets: UdpSocket[] = []
  try {
    for (const host of address === '::' ? ['::', '0.0.0.0'] : [address])
      sockets.push(await bindUdp(host, port))
    return sockets
  } catch (error) {
    // Errors of closing are ignored, because the first error is the one that matters.
    await inTurn(closersOf(sockets), () => {})
    const setting = 'port (--port), or set p2p.useAsP2PServer to false (--no-use-as-p2p-server)'
    const of = " (the P2P server's: TCP port + 1)"
    throw unavailable(error, { host: address, port, setting }, { what: 'UDP', of, ask: 'ss -lunp' })
  }
}

/** Functions that close the sockets, one for each. */
export function closersOf(sockets: readonly UdpSocket[]): (() => void)[] {
  return sockets.map((socket) => () => void socket.close())
}

export function addressOf(server: AnyServer): AddressInfo {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server listens on no TCP port')
  return address
}

/** The open sockets of TLS servers. HTTP knows a connection only after its TLS handshake, which may never end. */
const connectionsOf = new WeakMap<AnyServer, Set<Socket>>()

function keepConnections(server: AnyServer): void {
  const open = new Set<Socket>()
  connectionsOf.set(server, open)
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
}

/** Stops listening and ends every connection. */
export function closeServer(server: AnyServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
    for (const socket of connectionsOf.get(server) ?? []) socket.destroy()
  })
}

/** `what` is the protocol, `of` says what the port is for, and `ask` is the command that shows who uses a port. */
export function unavailable(
  error: unknown,
  { host, port, setting }: ListenAt,
  { what, of = '', ask }: { what: string; of?: string; ask: string },
): PortUnavailable {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const at = port === 0 ? `any ${what} port on ${host}${of}` : `${what} port ${port} on ${host}${of}`
  const otherHost = `change ${setting.replaceAll(/port\b/g, 'host')}`
  switch (code) {
    case 'EADDRINUSE':
      return new PortUnavailable(
        port === 0
          ? `${at} is taken (to see by which processes: ${ask}); end some of them`
          : `${at} is taken by another process (to see which: ${ask} 'sport = :${port}'); end it or change ${setting}`,
        { isTaken: port !== 0 },
      )
    case 'EACCES':
      return new PortUnavailable(`${at} needs privileges that this process does not have; change ${setting}`)
    case 'EADDRNOTAVAIL':
      return new PortUnavailable(`${at}: this machine has no such address; ${otherHost}`)
    case 'ENOTFOUND':
      return new PortUnavailable(`${at}: no address is known for ${host}; ${otherHost}`)
    case 'EAI_AGAIN':
      return new PortUnavailable(
        `${at}: the name server does not answer for ${host}; try again later, or ${otherHost}`,
      )
    default:
      return new PortUnavailable(`${at} cannot be opened: ${reasonOf(error)}`)
  }
}

/** The host under which this machine itself reaches a server that listens on `host`. */
export function localHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return formatHost(host)
}
