import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './ports.js'
import { seeded, type Random } from './random.js'
import { Lane, type Mode, type Rules } from './tcp-lane.js'

/** `up`: from whoever connected towards the target. `down`: the answers. */
export type Direction = 'up' | 'down' | 'both'

export interface TcpProxyOptions {
  target: { host: string; port: number }
  /** Where it listens on 127.0.0.1; a free port when absent. */
  port?: number
  /** Of the jitter and of random closes. */
  seed?: number
}

/** A link that can be made bad. It starts out good. */
export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** Bytes that entered, connections ever accepted, and those open now. */
  counts(): { up: number; down: number; accepted: number; open: number }
  /** Every byte arrives this much later; by chance up to `jitterMs` later still, in order. */
  delay(ms: number, options?: { direction?: Direction; jitterMs?: number }): void
  /** Bytes and closes vanish, sockets stay: half-open. Connections made meanwhile hang. */
  drop(direction?: Direction): void
  /** Nothing moves, and nothing is lost: a cut that `heal` mends, as TCP's resends would. */
  hold(direction?: Direction): void
  /** Everything flows again. A connection that lost bytes is reset: its stream can never be whole. */
  heal(): void
  /** Ends every connection with RST on both sides. */
  reset(): void
  /** Every connection, open or to come, is reset after a random time with this mean, until the returned function is called. */
  resetRandomly(meanMs: number): () => void
  /** New connections are reset at once until `accept`. */
  refuse(): void
  accept(): void
  stop(): Promise<void>
}

interface Link {
  near: Socket
  far: Socket
  up: Lane
  down: Lane
  timer: NodeJS.Timeout | undefined
}

class Proxy implements TcpProxy {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly #target: { host: string; port: number }
  readonly #links = new Set<Link>()
  readonly #rules: { up: Rules; down: Rules } = {
    up: { mode: 'flow', delayMs: 0, jitterMs: 0 },
    down: { mode: 'flow', delayMs: 0, jitterMs: 0 },
  }
  readonly #past = { up: 0, down: 0, accepted: 0 }
  readonly #random: Random
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#join(socket))
  #meanMs: number | undefined
  #refusing = false

  constructor(port: number, target: { host: string; port: number }, seed: number) {
    this.port = port
    this.#target = target
    this.#random = seeded(seed)
  }

  async listen(): Promise<void> {
    this.#server.listen(this.port, this.host)
    await once(this.#server, 'listening')
  }

  counts(): { up: number; down: number; accepted: number; open: number } {
    const counts = { ...this.#past, open: this.#links.size }
    for (const link of this.#links) {
      counts.up += link.up.bytes
      counts.down += link.down.bytes
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
    for (const link of this.#links) if (link.up.broken || link.down.broken) this.#end(link)
    this.#change('both', { mode: 'flow', delayMs: 0, jitterMs: 0 })
  }

  reset(): void {
    for (const link of this.#links) this.#end(link)
  }

  resetRandomly(meanMs: number): () => void {
    this.#meanMs = meanMs
    for (const link of this.#links) this.#endLater(link)
    return () => {
      this.#meanMs = undefined
      for (const link of this.#links) clearTimeout(link.timer)
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
    near.on('error', () => {}) // 'close' follows, and is what counts
    if (this.#refusing) {
      near.resetAndDestroy()
      return
    }
    this.#past.accepted++
    const far = connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    far.on('error', () => {})
    const link: Link = {
      near,
      far,
      up: new Lane(near, far, this.#rules.up, this.#random),
      down: new Lane(far, near, this.#rules.down, this.#random),
      timer: undefined,
    }
    this.#links.add(link)
    near.on('close', (torn) => this.#closed(link, torn, this.#rules.up.mode))
    far.on('close', (torn) => this.#closed(link, torn, this.#rules.down.mode))
    if (this.#meanMs !== undefined) this.#endLater(link)
  }

  /** An orderly close has gone through its lane; a torn one takes the other side along if news gets through. */
  #closed(link: Link, torn: boolean, mode: Mode): void {
    if (link.near.destroyed && link.far.destroyed) this.#end(link)
    else if (torn && mode === 'flow') this.#end(link)
    else if (torn) link.up.broken = true
  }

  #end(link: Link): void {
    if (!this.#links.delete(link)) return
    clearTimeout(link.timer)
    this.#past.up += link.up.bytes
    this.#past.down += link.down.bytes
    link.up.stop()
    link.down.stop()
    for (const socket of [link.near, link.far]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  #endLater(link: Link): void {
    clearTimeout(link.timer)
    const afterMs = this.#random.exponential(this.#meanMs ?? 0)
    link.timer = setTimeout(() => this.#end(link), afterMs)
  }

  #change(direction: Direction, change: Partial<Rules>): void {
    if (direction !== 'down') Object.assign(this.#rules.up, change)
    if (direction !== 'up') Object.assign(this.#rules.down, change)
    for (const link of this.#links) {
      link.up.update()
      link.down.update()
    }
  }
}

/** Starts a TCP proxy on 127.0.0.1 in front of `target`. */
export async function startTcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  const proxy = new Proxy(options.port ?? (await freePort()), options.target, options.seed ?? 1)
  await proxy.listen()
  return proxy
}
