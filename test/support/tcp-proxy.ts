import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './ports.js'
import { seeded, type Random } from './random.js'
import { Pipe, type Mode, type Rules } from './tcp-pipe.js'

/** `up`: from the connecting side to the target. `down`: the answers. */
export type Direction = 'up' | 'down' | 'both'

export interface TcpProxyOptions {
  target: { host: string; port: number }
  /** The address to listen on; by default 127.0.0.1. */
  host?: string
  /** The port to listen on; by default a free one. */
  port?: number
  /** The seed of the jitter and of random resets. */
  seed?: number
}

/** A proxy that can disturb its connections. At first it passes everything. */
export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** Bytes that came in, all connections ever accepted, and the open connections. */
  counts(): { up: number; down: number; accepted: number; open: number }
  /** Delays every byte, with a random addition of up to `jitterMs`. The order stays. */
  delay(ms: number, options?: { direction?: Direction; jitterMs?: number }): void
  /** Bytes and closes are lost and sockets stay open (half-open). New connections hang. */
  drop(direction?: Direction): void
  /** Nothing passes and nothing is lost: `heal` passes the held bytes on, as TCP's retransmissions would. */
  hold(direction?: Direction): void
  /** Everything passes again. A connection that lost bytes is reset, because its stream can never be complete. */
  heal(): void
  /** Resets every connection on both sides. */
  reset(): void
  /** Resets every open or new connection after a random time with this mean, until the returned function is called. */
  resetRandomly(meanMs: number): () => void
  /** Resets new connections at once until `accept`. */
  refuse(): void
  accept(): void
  stop(): Promise<void>
}

interface Connection {
  near: Socket
  far: Socket
  up: Pipe
  down: Pipe
  timer: NodeJS.Timeout | undefined
}

class Proxy implements TcpProxy {
  readonly host: string
  readonly port: number
  readonly #target: { host: string; port: number }
  readonly #connections = new Set<Connection>()
  readonly #rules: { up: Rules; down: Rules } = {
    up: { mode: 'flow', delayMs: 0, jitterMs: 0 },
    down: { mode: 'flow', delayMs: 0, jitterMs: 0 },
  }
  readonly #past = { up: 0, down: 0, accepted: 0 }
  readonly #random: Random
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#join(socket))
  #meanMs: number | undefined
  #refusing = false

  constructor(host: string, port: number, target: { host: string; port: number }, seed: number) {
    this.host = host
    this.port = port
    this.#target = target
    this.#random = seeded(seed)
  }

  async listen(): Promise<void> {
    this.#server.listen(this.port, this.host)
    await once(this.#server, 'listening')
  }

  counts(): { up: number; down: number; accepted: number; open: number } {
    const counts = { ...this.#past, open: this.#connections.size }
    for (const connection of this.#connections) {
      counts.up += connection.up.bytes
      counts.down += connection.down.bytes
    }
    return counts
  }

  delay(ms: number, options: { direction?: Direction; jitterMs?: number } = {}): void {
    this.#change(options.direction ?? 'both', { delayMs: ms, jitterMs: options.jitterMs ?? 0 })
  }

  drop(direction: Direction = 'both'): void {
    this.#change(direction, { mode: 'drop' })
  }

  hold(direction: Direction = 'both'): void {
    this.#change(direction, { mode: 'hold' })
  }

  heal(): void {
    for (const connection of this.#connections)
      if (connection.up.broken || connection.down.broken) this.#end(connection)
    this.#change('both', { mode: 'flow', delayMs: 0, jitterMs: 0 })
  }

  reset(): void {
    for (const connection of this.#connections) this.#end(connection)
  }

  resetRandomly(meanMs: number): () => void {
    this.#meanMs = meanMs
    for (const connection of this.#connections) this.#endLater(connection)
    return () => {
      this.#meanMs = undefined
      for (const connection of this.#connections) clearTimeout(connection.timer)
    }
  }

  refuse(): void {
    this.#refusing = true
  }

  accept(): void {
    this.#refusing = false
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.reset()
    await closed
  }

  #join(near: Socket): void {
    near.on('error', () => {}) // 'close' follows and is handled
    if (this.#refusing) {
      near.resetAndDestroy()
      return
    }
    this.#past.accepted++
    const far = connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    far.on('error', () => {})
    const connection: Connection = {
      near,
      far,
      up: new Pipe(near, far, this.#rules.up, this.#random),
      down: new Pipe(far, near, this.#rules.down, this.#random),
      timer: undefined,
    }
    this.#connections.add(connection)
    near.on('close', (torn) => this.#closed(connection, torn, this.#rules.up.mode))
    far.on('close', (torn) => this.#closed(connection, torn, this.#rules.down.mode))
    if (this.#meanMs !== undefined) this.#endLater(connection)
  }

  /** An orderly close has already passed. An abrupt one also ends the other side, unless this direction drops or holds. */
  #closed(connection: Connection, torn: boolean, mode: Mode): void {
    if (connection.near.destroyed && connection.far.destroyed) this.#end(connection)
    else if (torn && mode === 'flow') this.#end(connection)
    else if (torn) connection.up.broken = true
  }

  #end(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    clearTimeout(connection.timer)
    this.#past.up += connection.up.bytes
    this.#past.down += connection.down.bytes
    connection.up.stop()
    connection.down.stop()
    for (const socket of [connection.near, connection.far]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  #endLater(connection: Connection): void {
    clearTimeout(connection.timer)
    const afterMs = this.#random.exponential(this.#meanMs ?? 0)
    connection.timer = setTimeout(() => this.#end(connection), afterMs)
  }

  #change(direction: Direction, change: Partial<Rules>): void {
    if (direction !== 'down') Object.assign(this.#rules.up, change)
    if (direction !== 'up') Object.assign(this.#rules.down, change)
    for (const connection of this.#connections) {
      connection.up.update()
      connection.down.update()
    }
  }
}

/** Starts a TCP proxy on 127.0.0.1 in front of `target`. */
export async function startTcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  const { host = '127.0.0.1', port = await freePort(), target, seed = 1 } = options
  const proxy = new Proxy(host, port, target, seed)
  await proxy.listen()
  return proxy
}
