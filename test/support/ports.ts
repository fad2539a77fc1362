import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

// Below Linux's range for outgoing connections (32768 and up): no outgoing connection takes a free port before the
// server that asked for it binds it.
const FIRST_PORT = 12_000
const LAST_PORT = 32_000
const ATTEMPTS = 200
// Test files run in parallel processes. One must not take another's port while it is briefly free, as during the restart
// of a server, so each worker of vitest uses its own share of the range.
const SHARES = 4
const SHARE = (LAST_PORT - FIRST_PORT) / SHARES
const worker = Number(process.env['VITEST_POOL_ID'] ?? 1)
const firstPort = FIRST_PORT + (worker % SHARES) * SHARE

const handedOut = new Set<number>()

/** A TCP port that is free on 127.0.0.1. This process has not handed out the port or its neighbours before. */
export function freePort(): Promise<number> {
  return search(canListenTcp)
}

/** A TCP port that is free on 127.0.0.1 and whose next number is free for UDP. */
export function freePortPair(): Promise<number> {
  return search(async (port) => (await canListenTcp(port)) && (await canBindUdp(port + 1)))
}

/** A port that is free on 127.0.0.1 for TCP and for UDP, which TURN needs. */
export function freePortBoth(): Promise<number> {
  return search(async (port) => (await canListenTcp(port)) && (await canBindUdp(port)))
}

async function search(isFree: (port: number) => Promise<boolean>): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // The last port of the share is left out, because a pair also needs the next port.
    const port = firstPort + 1 + Math.floor(Math.random() * (SHARE - 2))
    // A node also binds the next port.
    if ([port - 1, port, port + 1].some((each) => handedOut.has(each))) continue
    // The port is marked before the check, because other searches run meanwhile.
    handedOut.add(port)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port among ${ATTEMPTS} tried between ${firstPort} and ${firstPort + SHARE}`)
}

function canListenTcp(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

function canBindUdp(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  return new Promise((resolve) => {
    socket.once('error', () => {
      socket.close()
      resolve(false)
    })
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)))
  })
}
