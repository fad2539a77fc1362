// A Binding server on loopback sockets, and helpers that send to it and read its answers.
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { type Socket as TcpSocket, connect } from 'node:net'
import { afterEach } from 'vitest'
import { bindUdp, listenTcp } from '../bind.js'
import { type Attribute } from '../attributes.js'
import { BINDING, encode } from '../message.js'
import { type StunServer, type StunServerOptions, createStunServer } from '../server.js'

export function bindingRequest(
  attributes: readonly Attribute[] = [],
  transactionId = randomBytes(12),
): Buffer {
  return encode({ class: 'request', method: BINDING, transactionId, attributes })
}

export interface Loopback {
  readonly server: StunServer
  readonly udp: Socket
  readonly tcpPort: number
  /** Binds a socket for a client. `close` closes it. */
  readonly client: (address?: string) => Promise<Socket>
  /** Connects over TCP. `close` destroys the connection. */
  readonly connect: (from?: string) => Promise<TcpSocket>
  /**
   * Sends the datagrams and then a valid request, and returns the answers that arrive before the answer to that
   * request. Loopback keeps the order, so the server was silent to every datagram without an answer.
   */
  readonly answersTo: (client: Socket, ...datagrams: Buffer[]) => Promise<Buffer[]>
  readonly close: () => Promise<void>
}

export async function loopback(
  options: Omit<StunServerOptions, 'udp' | 'tcp'> = {},
  address = '127.0.0.1',
): Promise<Loopback> {
  const udp = await bindUdp(address, 0)
  const tcp = await listenTcp(address, 0)
  const server = createStunServer({ rate: 'unlimited', ...options, udp: [udp], tcp: [tcp] })
  server.start()
  const sockets: Socket[] = [udp]
  const connections: TcpSocket[] = []
  const tcpAddress = tcp.address()
  const tcpPort = typeof tcpAddress === 'object' && tcpAddress !== null ? tcpAddress.port : 0
  return {
    server,
    udp,
    tcpPort,
    async client(from = address) {
      const socket = await bindUdp(from, 0)
      sockets.push(socket)
      return socket
    },
    async connect(from = address) {
      const socket = connect({ host: address, port: tcpPort, localAddress: from })
      connections.push(socket)
      // The server resets a connection over its limit while it is being made.
      socket.on('error', () => undefined)
      await once(socket, 'connect')
      return socket
    },
    async answersTo(client, ...datagrams) {
      const last = bindingRequest()
      const answers: Buffer[] = []
      const done = new Promise<void>((resolve) => {
        client.on('message', function take(bytes: Buffer) {
          if (!bytes.subarray(8, 20).equals(last.subarray(8))) return void answers.push(bytes)
          client.off('message', take)
          return resolve()
        })
      })
      for (const datagram of [...datagrams, last]) client.send(datagram, udp.address().port, address)
      await done
      return answers
    },
    async close() {
      await server.stop()
      for (const connection of connections) connection.destroy()
      for (const socket of sockets) socket.close()
      tcp.close()
    },
  }
}

/** Makes loopback servers for the tests of a file, and closes each after the test that asked for it. */
export function closedAfterEach(): typeof loopback {
  const open: Loopback[] = []
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close()
  })
  return async (...options) => {
    const made = await loopback(...options)
    open.push(made)
    return made
  }
}

/** Every byte that arrives until the other end closes. */
export async function readAll(socket: TcpSocket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // `once` of node:events would reject at a reset, which is also an end.
  await new Promise<void>((resolve) => socket.on('close', () => resolve()))
  return Buffer.concat(chunks)
}

/** The next `length` bytes. */
export async function readBytes(socket: TcpSocket, length: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0)
  while (bytes.length < length) {
    const [chunk]: unknown[] = await once(socket, 'data')
    if (!Buffer.isBuffer(chunk)) throw new Error('no bytes')
    bytes = Buffer.concat([bytes, chunk])
  }
  return bytes
}
