// The TCP connections of a standalone STUN server: how many there are, how long they last, how much each one buffers.
import type { Server, Socket } from 'node:net'
import { IPV6_BYTES, formatIp, readSource } from './address.js'
import { REQUEST_MAX_BYTES } from './binding.js'
import type { StunClock } from './clock.js'
import type { StunCounters } from './counters.js'
import { Frames } from './frames.js'

export interface TcpLimits {
  /** How many may be open at once. */
  readonly connections: number
  /** How many may be open at once from one IPv4 address or IPv6 /64. */
  readonly connectionsPerSource: number
  /** The server closes a connection on which it has answered nothing for this long. Incoming bytes do not count. */
  readonly idleMs: number
}

export interface ConnectionsOptions {
  readonly servers: readonly Server[]
  readonly limits: TcpLimits
  readonly clock: StunClock
  readonly counters: StunCounters
  /** Answers on the socket. `stuck`: the other end does not read. */
  readonly answer: (request: Buffer, socket: Socket) => 'answered' | 'silent' | 'stuck'
  readonly failed: (error: Error, stage: 'tcp-listen' | 'tcp-connection') => void
}

export class Connections {
  readonly #options: ConnectionsOptions
  readonly #open = new Set<Socket>()
  /** Open connections of each source. A source without connections is removed, so the map stays bounded. */
  readonly #perSource = new Map<string, number>()
  #accepting = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  start(): void {
    this.#accepting = true
    for (const server of this.#options.servers) {
      server.on('connection', this.#accept).on('error', this.#listenFailed)
    }
  }

  stopAccepting(): void {
    this.#accepting = false
    for (const server of this.#options.servers) {
      server.off('connection', this.#accept).off('error', this.#listenFailed)
    }
  }

  /** Destroys all open connections, and resolves when each has emitted `close`. */
  async drop(): Promise<void> {
    const closed = [...this.#open].map(
      (socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
    )
    for (const socket of this.#open) socket.destroy()
    await Promise.all(closed)
  }

  readonly #listenFailed = (error: Error): void => this.#options.failed(error, 'tcp-listen')

  readonly #accept = (socket: Socket): void => {
    const { limits, counters } = this.#options
    const source = sourceKey(socket.remoteAddress ?? '')
    const fromSource = this.#perSource.get(source) ?? 0
    socket.on('error', (error) => this.#options.failed(error, 'tcp-connection'))
    if (
      !this.#accepting ||
      this.#open.size >= limits.connections ||
      fromSource >= limits.connectionsPerSource
    ) {
      counters.connectionsRefused++
      socket.destroy()
      return
    }
    this.#open.add(socket)
    this.#perSource.set(source, fromSource + 1)
    counters.connections = this.#open.size
    const idle = this.#watchIdle(socket)
    socket.once('close', () => {
      idle.cancel()
      this.#open.delete(socket)
      this.#leave(source)
      counters.connections = this.#open.size
    })
    this.#read(socket, idle.touch)
  }

  #leave(source: string): void {
    const left = (this.#perSource.get(source) ?? 1) - 1
    if (left === 0) this.#perSource.delete(source)
    else this.#perSource.set(source, left)
  }

  #read(socket: Socket, touch: () => void): void {
    const { counters, answer } = this.#options
    const frames = new Frames(REQUEST_MAX_BYTES)
    socket.on('data', (read: Buffer) => {
      counters.bytesIn += read.length
      let stuck = false
      // The answers to requests that arrived together leave in one write.
      socket.cork()
      const whole = frames.push(read, (request) => {
        if (stuck) return
        const outcome = answer(request, socket)
        if (outcome === 'answered') touch()
        stuck = outcome === 'stuck'
      })
      socket.uncork()
      if (!whole) counters.dropped.malformed++
      if (stuck) counters.dropped.backlog++
      if (stuck || !whole) socket.destroy()
    })
  }

  /** Uses one timer for each connection, set again only when it fires, so that a busy connection sets few timers. */
  #watchIdle(socket: Socket): { touch: () => void; cancel: () => void } {
    const { clock, limits } = this.#options
    let deadlineMs = clock.monotonic() + limits.idleMs
    const check = (): void => {
      const leftMs = deadlineMs - clock.monotonic()
      if (leftMs <= 0) socket.destroy()
      else timer = clock.after(leftMs, check)
    }
    let timer = clock.after(limits.idleMs, check)
    return {
      touch: () => {
        deadlineMs = clock.monotonic() + limits.idleMs
      },
      cancel: () => timer.cancel(),
    }
  }
}

/** The source of an address: an IPv4 address, or the /64 of an IPv6 address, because one subscriber has a whole /64. */
function sourceKey(address: string): string {
  const ip = new Uint8Array(IPV6_BYTES)
  const length = readSource(address, ip)
  return formatIp(length === IPV6_BYTES ? ip.fill(0, 8) : ip.subarray(0, 4))
}
