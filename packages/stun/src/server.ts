// A Binding server over sockets that it is given. Answers small, few, and only to what is a strict request.
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
   * Bound UDP sockets, IPv4, IPv6 or dual-stack; `bindUdp` makes one. Opened and closed by the caller. A socket of
   * another making needs an `error` listener for the time before the start and after the stop.
   */
  readonly udp?: readonly UdpSocket[]
  /** Listening TCP servers; `listenTcp` makes one. Opened and closed by the caller. */
  readonly tcp?: readonly TcpServer[]
  /** Answers to one source (an IPv4 address, an IPv6 /64). `unlimited` is for measuring. */
  readonly rate?: Rate | 'unlimited'
  readonly tcpLimits?: Partial<TcpLimits>
  readonly clock?: StunClock
  /** Every background failure. The server goes on after each. Also counted in `counters.errors`. */
  readonly onError?: (error: Error, at: { readonly stage: StunStage }) => void
}

export type StunStage = 'udp-receive' | 'udp-send' | 'tcp-listen' | 'tcp-connection'

export interface StunServer {
  /** Begins to answer. Call once. */
  start(): void
  /** Stops answering, drops its TCP connections and resolves when they are gone. No timer or listener of it stays. */
  stop(): Promise<void>
  /** Live numbers, for metrics. */
  readonly counters: Readonly<StunCounters>
}

export const STUN_DEFAULTS = {
  /**
   * Browsers refresh a reflexive candidate about every 10 s, so a house with one address and 200 peers
   * spends 20 a second. 50 answers of 40 bytes are 2 kB/s to whoever is spoofed as the source.
   */
  rate: { perSecond: 50, burst: 200 },
  tcpLimits: {
    /** Each costs about 10 KB. */
    connections: 1_000,
    /** A tenth of what there is. */
    connectionsPerSource: 100,
    /** RFC 8489 6.2.2 leaves the closing to the client; one that asks nothing for this long has gone. */
    idleMs: 30_000,
  },
} as const satisfies { rate: Rate; tcpLimits: TcpLimits }

/**
 * Bytes that may wait in a UDP socket's send queue. The kernel takes datagrams at once; when it does not,
 * later answers are worth less than memory.
 */
const UDP_BACKLOG_MAX_BYTES = 256 * 1024

/** A server that does nothing until `start`. */
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
  /** The source address of the request at hand. */
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
    if (this.#detach.length > 0) throw new Error('this STUN server has been started')
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

  /** False when the source does not read its answers. */
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
