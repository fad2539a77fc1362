// A Binding server over the caller's sockets. Its answers are small, limited in rate, and only to valid requests.
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram'
import type { Server as TcpServer, Socket as TcpSocket } from 'node:net'
import { IPV6_BYTES, readSource } from './address.js'
import { answer, refusal } from './binding.js'
import { type StunClock, systemClock } from './clock.js'
import { type Drop, type StunCounters, newCounters } from './counters.js'
import { BINDING_SUCCESS } from './message.js'
import { type Rate, SourceRates } from './rate.js'
import { type TcpLimits, Connections } from './tcp.js'

export interface StunServerOptions {
  /**
   * Bound UDP sockets: IPv4, IPv6 or dual-stack. The caller opens and closes them; `bindUdp` opens one. A socket
   * that was opened in another way needs an `error` listener for the time before the start and after the stop.
   */
  readonly udp?: readonly UdpSocket[]
  /** Listening TCP servers. The caller opens and closes them; `listenTcp` opens one. */
  readonly tcp?: readonly TcpServer[]
  /** How many answers one source (an IPv4 address or an IPv6 /64) gets. `unlimited` is for measurements. */
  readonly rate?: Rate | 'unlimited'
  readonly tcpLimits?: Partial<TcpLimits>
  readonly clock?: StunClock
  /** Called with every background failure. The server goes on after each, and counts it in `counters.errors`. */
  readonly onError?: (error: Error, at: { readonly stage: StunStage }) => void
}

export type StunStage = 'udp-receive' | 'udp-send' | 'tcp-listen' | 'tcp-connection'

export interface StunServer {
  /** Starts to answer. Call it once. */
  start(): void
  /** Stops answering, closes its TCP connections, and resolves when they are closed. Leaves no timer and no listener. */
  stop(): Promise<void>
  /** Live numbers, for metrics. */
  readonly counters: Readonly<StunCounters>
}

export const STUN_DEFAULTS = {
  /**
   * Browsers refresh a reflexive candidate about every 10 s, so 200 peers behind one address take 20 answers a
   * second. If the source is spoofed, its victim gets 50 answers of 40 bytes: 2 kB/s.
   */
  rate: { perSecond: 50, burst: 200 },
  tcpLimits: {
    /** Each costs about 10 KB. */
    connections: 1_000,
    /** A tenth of all connections. */
    connectionsPerSource: 100,
    /** RFC 8489 §6.2.2 lets the client close the connection. A client that asks nothing for this long is gone. */
    idleMs: 30_000,
  },
} as const satisfies { rate: Rate; tcpLimits: TcpLimits }

/**
 * How many bytes may wait in a UDP socket's send queue. The kernel normally takes datagrams at once. When it does
 * not, the server drops further answers rather than fill its memory.
 */
const UDP_BACKLOG_MAX_BYTES = 256 * 1024

/** Makes a server, which does nothing until `start`. */
export function createStunServer(options: StunServerOptions): StunServer {
  return new BindingServer(options)
}

class BindingServer implements StunServer {
  readonly counters: StunCounters = newCounters()
  readonly #udp: readonly UdpSocket[]
  readonly #connections: Connections
  readonly #rates: SourceRates | undefined
  readonly #clock: StunClock
  readonly #onError: StunServerOptions['onError']
  /** The source address of the current request. */
  readonly #ip = new Uint8Array(IPV6_BYTES)
  #detach: (() => void)[] = []

  constructor(options: StunServerOptions) {
    const rate = options.rate ?? STUN_DEFAULTS.rate
    this.#udp = options.udp ?? []
    this.#clock = options.clock ?? systemClock
    this.#rates = rate === 'unlimited' ? undefined : new SourceRates(rate)
    this.#onError = options.onError
    this.#connections = new Connections({
      servers: options.tcp ?? [],
      limits: { ...STUN_DEFAULTS.tcpLimits, ...options.tcpLimits },
      clock: this.#clock,
      counters: this.counters,
      answer: (request, socket) => this.#overTcp(request, socket),
      failed: (error, stage) => this.#failed(error, stage),
    })
  }

  start(): void {
    if (this.#detach.length > 0) throw new Error('this STUN server has been started already')
    for (const socket of this.#udp) this.#attach(socket)
    this.#connections.start()
    this.#detach.push(() => this.#connections.stopAccepting())
  }

  async stop(): Promise<void> {
    for (const detach of this.#detach) detach()
    this.#detach = []
    await this.#connections.drop()
  }

  #attach(socket: UdpSocket): void {
    const sent = (error: Error | null): void => {
      if (error !== null) this.#failed(error, 'udp-send')
    }
    const message = (request: Buffer, from: RemoteInfo): void => {
      this.counters.bytesIn += request.length
      const bytes = this.#handle(request, from.address, from.port)
      if (bytes === undefined) return
      if (socket.getSendQueueSize() > UDP_BACKLOG_MAX_BYTES) {
        this.counters.dropped.backlog++
        return
      }
      this.#count(bytes)
      socket.send(bytes, from.port, from.address, sent)
    }
    const error = (cause: Error): void => this.#failed(cause, 'udp-receive')
    socket.on('message', message).on('error', error)
    this.#detach.push(() => socket.off('message', message).off('error', error))
  }

  /** Handles a request over TCP. `stuck`: the source does not read its answers. */
  #overTcp(request: Buffer, socket: TcpSocket): 'answered' | 'silent' | 'stuck' {
    const bytes = this.#handle(request, socket.remoteAddress ?? '', socket.remotePort ?? 0)
    if (bytes === undefined) return 'silent'
    this.#count(bytes)
    return socket.write(bytes) ? 'answered' : 'stuck'
  }

  #handle(request: Buffer, address: string, port: number): Buffer | undefined {
    const refused = refusal(request)
    if (refused !== undefined) return this.#drop(refused)
    this.counters.requests++
    const length = readSource(address, this.#ip)
    if (length === 0 || port === 0) return this.#drop('no-source')
    if (this.#rates?.take(this.#ip, length, this.#clock.monotonic()) === false) return this.#drop('rate')
    const bytes = answer(request, this.#ip, length, port)
    return typeof bytes === 'string' ? this.#drop(bytes) : bytes
  }

  #drop(reason: Drop): undefined {
    this.counters.dropped[reason]++
    return undefined
  }

  #count(bytes: Buffer): void {
    if (bytes.readUInt16BE(0) === BINDING_SUCCESS) this.counters.answered++
    else this.counters.refused++
    this.counters.bytesOut += bytes.length
  }

  #failed(error: Error, stage: StunStage): void {
    this.counters.errors++
    this.#onError?.(error, { stage })
  }
}
