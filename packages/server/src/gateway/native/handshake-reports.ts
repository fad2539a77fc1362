import type { Clock } from '@peerage/core'
import type { PeerMessageOf } from '@peerage/protocol'
import { TokenBucket } from '../../lib/token-bucket.js'
import type { GatewayLog, GatewayMetrics } from '../shared/events.js'

/** Reports of one connection a second, twice as many at once: a peer of a mesh has a handshake with each other peer. */
const REPORTS_PER_SECOND = 10
/** Log lines a second for all peers together. A single handshake can be found in the log, and many do not fill the disk. */
const LINES_PER_SECOND = 50

/** Takes the reports of peers on how their handshakes ended, for the metrics and the log [WR9]. */
export class HandshakeReports {
  readonly #clock: Clock
  readonly #metrics: Pick<GatewayMetrics, 'handshake' | 'rejected'>
  readonly #log: GatewayLog
  readonly #lines: TokenBucket
  /** How many reports were counted but not logged since the last line. */
  #unlogged = 0

  constructor(options: {
    clock: Clock
    metrics: Pick<GatewayMetrics, 'handshake' | 'rejected'>
    log: GatewayLog
  }) {
    this.#clock = options.clock
    this.#metrics = options.metrics
    this.#log = options.log
    this.#lines = new TokenBucket(LINES_PER_SECOND, options.clock.monotonic())
  }

  take(from: { reports?: TokenBucket }, report: PeerMessageOf<'report'>): void {
    const now = this.#clock.monotonic()
    from.reports ??= new TokenBucket(REPORTS_PER_SECOND, now)
    if (from.reports.take(1, now) > 0) {
      this.#metrics.rejected('native', 'rate-limited')
      return
    }
    const { handshake, path, stage, ms } = report
    this.#metrics.handshake(path, stage, ms)
    if (this.#lines.take(1, now) > 0) {
      this.#unlogged++
      return
    }
    const more = this.#unlogged > 0 ? { more: this.#unlogged } : {}
    this.#unlogged = 0
    this.#log('handshake', { handshake, path, stage, ms, ...more })
  }
}
