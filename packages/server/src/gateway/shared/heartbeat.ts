import type { Clock, Timer } from '@peerage/core'

/** A connection as the heartbeat sees it. */
export interface PingTarget {
  /** Set by any traffic from the peer. Cleared when a ping goes out. */
  heard: boolean
  ping(): void
  /** Nothing came since the ping, so the peer is gone. */
  timedOut(): void
}

export interface HeartbeatOptions {
  clock: Clock
  pingIntervalMs: number
  pingTimeoutMs: number
}

/** The connections are divided into this many slices, so that 10,000 pings do not leave in one burst. */
const SLICES = 10

/**
 * Pings every connection once an interval, and ends a connection when nothing comes within the timeout. All connections
 * share one timer. A timer for each would cost memory and, with 10,000 connections, a burst.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #slices: Set<PingTarget>[] = Array.from({ length: SLICES }, () => new Set())
  #next = 0
  #tickedAt = Number.POSITIVE_INFINITY
  #slice = 0
  #timer: Timer | undefined
  #awaited: { slice: Set<PingTarget>; pinged: PingTarget[]; at: number }[] = []

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = this.#options.clock.after(this.#options.pingIntervalMs / SLICES, () => {
      this.#tick()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#awaited = []
  }

  add(target: PingTarget): void {
    this.#slices[this.#next]?.add(target)
    this.#next = (this.#next + 1) % SLICES
  }

  // Searches every slice, because an index would cost memory for every idle peer.
  delete(target: PingTarget): void {
    this.#slices.find((slice) => slice.delete(target))
  }

  get count(): number {
    return this.#slices.reduce((count, slice) => count + slice.size, 0)
  }

  #tick(): void {
    const now = this.#options.clock.monotonic()
    // After a pause of this process (SIGSTOP, a long garbage collection) the answers are still unread in the sockets,
    // because timers run before reads. So every pinged peer gets the whole timeout again.
    const periodMs = this.#options.pingIntervalMs / SLICES
    if (now - this.#tickedAt > periodMs + Math.min(periodMs, this.#options.pingTimeoutMs))
      for (const round of this.#awaited) round.at = now
    this.#tickedAt = now
    this.#endSilent(now)
    const slice = this.#slices[this.#slice]
    this.#slice = (this.#slice + 1) % SLICES
    if (slice === undefined || slice.size === 0) return
    const pinged = [...slice]
    for (const target of pinged) {
      target.heard = false
      target.ping()
    }
    this.#awaited.push({ slice, pinged, at: now })
  }

  #endSilent(now: number): void {
    while (this.#awaited[0] && now - this.#awaited[0].at >= this.#options.pingTimeoutMs) {
      const round = this.#awaited.shift()
      for (const target of round?.pinged ?? [])
        if (!target.heard && round?.slice.has(target)) target.timedOut()
    }
  }
}
