import type { Clock, Timer } from '@peerage/core'

/** A connection as the heartbeat sees it. */
export interface Beating {
  /** Set by any traffic; cleared when a ping goes out. */
  heard: boolean
  ping(): void
  /** No traffic since the ping: the peer is gone. */
  silent(): void
}

export interface HeartbeatOptions {
  clock: Clock
  pingIntervalMs: number
  pingTimeoutMs: number
}

/** A round is cut into so many slices, so that 10,000 pings do not leave in one burst. */
const SLICES = 10

/**
 * Pings every connection once an interval and ends those that stay silent for the timeout. One timer for all of
 * them: a timer a connection costs memory and, at 10,000, a burst.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #slices: Set<Beating>[] = Array.from({ length: SLICES }, () => new Set())
  #next = 0
  #tickedAt = Number.POSITIVE_INFINITY
  #slice = 0
  #timer: Timer | undefined
  #awaited: { slice: Set<Beating>; pinged: Beating[]; at: number }[] = []

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

  add(beating: Beating): void {
    this.#slices[this.#next]?.add(beating)
    this.#next = (this.#next + 1) % SLICES
  }

  // Looked for in each: an index would be memory for every idle peer.
  delete(beating: Beating): void {
    this.#slices.find((slice) => slice.delete(beating))
  }

  get count(): number {
    return this.#slices.reduce((count, slice) => count + slice.size, 0)
  }

  #tick(): void {
    const now = this.#options.clock.monotonic()
    // After a pause of this process (SIGSTOP, a long collection) the answers lie unread in the sockets, for timers
    // come before reads: whoever was asked gets the whole time again.
    const periodMs = this.#options.pingIntervalMs / SLICES
    if (now - this.#tickedAt > periodMs + Math.min(periodMs, this.#options.pingTimeoutMs))
      for (const round of this.#awaited) round.at = now
    this.#tickedAt = now
    this.#endSilent(now)
    const slice = this.#slices[this.#slice]
    this.#slice = (this.#slice + 1) % SLICES
    if (slice === undefined || slice.size === 0) return
    const pinged = [...slice]
    for (const beating of pinged) {
      beating.heard = false
      beating.ping()
    }
    this.#awaited.push({ slice, pinged, at: now })
  }

  #endSilent(now: number): void {
    while (this.#awaited[0] && now - this.#awaited[0].at >= this.#options.pingTimeoutMs) {
      const round = this.#awaited.shift()
      for (const beating of round?.pinged ?? [])
        if (!beating.heard && round?.slice.has(beating)) beating.silent()
    }
  }
}
