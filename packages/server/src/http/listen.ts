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

/** A peer that dribbles its TLS handshake or its request, or that does not read, must not hold a socket for longer. */
const STUCK_MS = 10_000
const MAX_HEADER_BYTES = 16_384

/** Of every HTTP server that is our own. */
export const HTTP_OPTIONS = {
  headersTimeout: STUCK_MS,
  requestTimeout: STUCK_MS,
  connectionsCheckingInterval: STUCK_MS / 2,
  maxHeaderSize: MAX_HEADER_BYTES,
} as const

export const HTTPS_OPTIONS = { ...HTTP_OPTIONS, handshakeTimeout: STUCK_MS } as const

/**
 * Ends also those who do not read their answers; WebSockets have their own pings. An error that comes while nobody
 * else listens, as when it is told apart or closed, ends nothing.
 */
export function bounded<S extends AnyServer>(server: S): S {
  server.timeout = STUCK_MS
  server.on('error', () => {})
  return server
}

/** A port that cannot be had. The message says which, why, and what to do. */
export class PortUnavailable extends Error {
  override readonly name = 'PortUnavailable'
  /** Somebody else listens there. */
  readonly isTaken: boolean

  constructor(message: string, { isTaken = false } = {}) {
    super(message)
    this.isTaken = isTaken
  }
}

/** Of the ports that the system picks, about one in a hundred has a neighbour in use. */
const PAIR_ATTEMPTS = 50

/**
 * Connections that wait to be accepted: as many as the system keeps (Linux: net.core.somaxconn, 4096). When a node
 * dies, its peers come to the others at once; whom Node's 511 turns away asks again after 1, 3, 7 and 15 s.
 */
const BACKLOG = 65_535

/** Where to listen, and how an operator says so. */
export interface ListenAt {
  host: string
  /** 0: any free one. */
  port: number
  /** The setting of the port and its flag: `links.port (--links-port)`. */
  setting: string
}

/** Listens on TCP, and binds UDP on the next port where `withUdp` asks for it. Port 0 picks a free pair. */
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

/** The UDP sockets of the P2P server: on TCP port + 1, on the same address. `::` also takes IPv4, as TCP does. */
export async function bindNeighbour(address: string, tcpPort: number): Promise<UdpSocket[]> {
  const port = tcpPort + 1
  const sockets: UdpSocket[] = []
  try {
    for (const host of address === '::' ? ['::', '0.0.0.0'] : [address])
      sockets.push(await bindUdp(host, port))
    return sockets
  } catch (error) {
    // What matters is why it cannot be had.
    await inTurn(closersOf(sockets), () => {})
    const setting = 'port (--port), or set p2p.useAsP2PServer to false (--no-use-as-p2p-server)'
    const of = " (the P2P server's: TCP port + 1)"
    throw unavailable(error, { host: address, port, setting }, { what: 'UDP', of, ask: 'ss -lunp' })
  }
}

/** Steps that close each of them. */
export function closersOf(sockets: readonly UdpSocket[]): (() => void)[] {
  return sockets.map((socket) => () => void socket.close())
}

export function addressOf(server: AnyServer): AddressInfo {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server listens on no TCP port')
  return address
}

/** What is open on a TLS server. HTTP knows a connection from the end of its handshake on, which may never come. */
const connectionsOf = new WeakMap<AnyServer, Set<Socket>>()

function keepConnections(server: AnyServer): void {
  const open = new Set<Socket>()
  connectionsOf.set(server, open)
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
}

/** Stops listening, and ends every connection. */
export function closeServer(server: AnyServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
    for (const socket of connectionsOf.get(server) ?? []) socket.destroy()
  })
}

/** `what` is the protocol, `of` what the port is for, `ask` the command that shows who has a port. */
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
          ? `${at} is taken (ask: ${ask}); end some of the processes that have them`
          : `${at} is taken by another process (ask: ${ask} 'sport = :${port}'); end it or change ${setting}`,
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
      return new PortUnavailable(`${at} cannot be had: ${reasonOf(error)}`)
  }
}

/** Where this machine itself reaches a listening host. */
export function localHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}
