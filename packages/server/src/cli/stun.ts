import type { Socket } from 'node:dgram'
import type { Server } from 'node:net'
import { inTurn } from '@peerage/core'
import { bindUdp, createStunServer, listenTcp } from '@peerage/stun'
import { localHost, PortUnavailable, unavailable } from '../http/listen.js'
import { createLogger, errorLog, isPretty, standardOutput } from '../metrics/log.js'
import type { StunConfig } from '../config/stun.js'
import { toldToEnd, type ExitCode, type Surroundings } from './surroundings.js'

/** About one in a hundred of the ports that the system picks for UDP is taken for TCP. */
const PORT_ATTEMPTS = 50

interface Sockets {
  udp: Socket[]
  tcp: Server[]
  port: number
}

/** Runs the standalone P2P server, UDP and TCP, until it is told to end. */
export async function serveStun(config: StunConfig, surroundings: Surroundings): Promise<ExitCode> {
  const log = createLogger(config.log.level, standardOutput(config.log.format, surroundings.env))
  let sockets: Sockets
  try {
    sockets = await open(config.host, config.port)
  } catch (error) {
    if (!(error instanceof PortUnavailable)) throw error
    surroundings.err(`peerage: ${error.message}`)
    return 1
  }
  const onError = errorLog(log, () => performance.now())
  const { udp, tcp, port } = sockets
  const { connections, connectionsPerSource, idleMs } = config.tcp
  const server = createStunServer({
    udp,
    tcp,
    rate: config.rate,
    tcpLimits: { connections, connectionsPerSource, idleMs },
    onError,
  })
  server.start()
  const hosts = udp.map((socket) => socket.address().address)
  const [host = ''] = hosts
  const isTold = surroundings.isTerminal && isPretty(config.log.format)
  log[isTold ? 'debug' : 'info']({ url: `stun:${localHost(host)}:${port}`, port, hosts }, 'ready')
  if (surroundings.isTerminal)
    surroundings.err(`The P2P server is ready on UDP and TCP port ${port}. Ctrl-C ends it.`)
  await toldToEnd(surroundings)
  const failed = (error: unknown): void => onError(error, { stage: 'stop' })
  await inTurn([() => server.stop(), ...closers(sockets)], failed)
  log.info(server.counters, 'stopped')
  return 0
}

/** Opens one port on all hosts, UDP and TCP. For port 0 it tries again when the port is taken for TCP. */
async function open(hosts: readonly string[], wanted: number): Promise<Sockets> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openAt(hosts, wanted)
    } catch (error) {
      if (!(error instanceof PortUnavailable) || wanted !== 0 || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

/** Leaves out a host that this machine lacks (no IPv6), unless no other host works. */
async function openAt(hosts: readonly string[], wanted: number): Promise<Sockets> {
  const sockets: Sockets = { udp: [], tcp: [], port: wanted }
  let missing: PortUnavailable | undefined
  for (const host of hosts) {
    try {
      await openOne(host, sockets)
    } catch (error) {
      const failure = explain(error, host, sockets.port)
      if (!isAbsentAddress(error)) {
        // The caller needs the reason of the failure, not errors of the clean-up.
        await inTurn(closers(sockets), () => {})
        throw failure
      }
      missing = failure
    }
  }
  if (sockets.udp.length === 0) throw missing ?? new PortUnavailable('no host to listen on')
  return sockets
}

async function openOne(host: string, sockets: Sockets): Promise<void> {
  const udp = await bindUdp(host, sockets.port)
  sockets.udp.push(udp)
  sockets.port = udp.address().port
  sockets.tcp.push(await listenTcp(host, sockets.port))
}

function isAbsentAddress(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT')
  )
}

function explain(error: unknown, host: string, port: number): PortUnavailable {
  const at = { host, port, setting: 'port (--port)' }
  return unavailable(error, at, { what: 'UDP or TCP', ask: 'ss -lntup' })
}

function closers({ udp, tcp }: Sockets): (() => void)[] {
  return [...udp, ...tcp].map((each) => () => void each.close())
}
