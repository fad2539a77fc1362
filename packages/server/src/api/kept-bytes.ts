import type { Clock } from '@peerage/core'
import type { App } from '@peerage/protocol'

const HOUR_MS = 3_600_000
const HOURS = 24

/** How many bytes of one app were stored in each of the last hours. The newest is the first. */
interface Hours {
  /** The hour of the first entry. */
  newest: number
  bytes: number[]
}

/**
 * Counts what this node has stored for each app in the last 24 hours, in steps of an hour. After a restart it counts from
 * zero.
 */
export class KeptBytes {
  readonly #clock: Clock
  readonly #most: number
  readonly #apps = new Map<App, Hours>()

  constructor(clock: Clock, most: number) {
    this.#clock = clock
    this.#most = most
  }

  /** In how many milliseconds there is room for so many bytes. 0: there is room now. */
  fullMs(app: App, bytes: number): number {
    const hours = this.#hoursOf(app)
    let over = bytes - this.#most
    for (const each of hours.bytes) over += each
    if (over <= 0) return 0
    const soonest = hours.bytes.findLastIndex((each) => each > 0)
    return (hours.newest + HOURS - soonest) * HOUR_MS - this.#clock.monotonic()
  }

  /** `bytes` is negative for what was removed again. */
  add(app: App, bytes: number): void {
    const hours = this.#hoursOf(app)
    hours.bytes[0] = (hours.bytes[0] ?? 0) + bytes
    this.#apps.set(app, hours)
  }

  #hoursOf(app: App): Hours {
    const newest = Math.floor(this.#clock.monotonic() / HOUR_MS)
    const hours = this.#apps.get(app) ?? { newest, bytes: [] }
    const passed = Math.min(newest - hours.newest, HOURS)
    if (passed > 0) hours.bytes.unshift(...Array.from({ length: passed }, () => 0))
    hours.bytes.length = Math.min(hours.bytes.length, HOURS)
    hours.newest = newest
    return hours
  }
}
