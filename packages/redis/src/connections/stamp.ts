import { randomBytes } from 'node:crypto'

// A master of a Cluster passes published payloads on to its replicas, which pass them to their own subscribers. So in
// a failover a node that has moved to the new master may receive a payload that it has just received from the old one.

/** No record, room text or canary begins with this. */
const MARK = '\u0001'
/** 48 random bits, in base64url. */
const PUBLISHER_BYTES = 6
const PUBLISHER_LENGTH = 8
/** Publishers that are remembered for one channel: many more than a cluster has nodes. */
const PUBLISHERS_MOST = 1_000

/** Numbers the payloads of one process: mark, publisher, number in base 36, a space, the payload. */
export class Stamp {
  readonly #head = MARK + randomBytes(PUBLISHER_BYTES).toString('base64url')
  #serial = 0

  put(payload: string): string {
    this.#serial++
    return `${this.#head}${this.#serial.toString(36)} ${payload}`
  }
}

/** Drops duplicates on one channel, and payloads that arrive after a later one of the same publisher. */
export class Deduplicator {
  /**
   * Publisher → its last number. Created when needed, because most channels never need it: 260 bytes each instead of
   * 440.
   */
  #taken: Map<string, number> | undefined

  /**
   * Returns the original payload, or undefined if it is a duplicate or late. A payload without a stamp is returned
   * unchanged.
   */
  take(payload: string): string | undefined {
    const end = payload.startsWith(MARK) ? payload.indexOf(' ') : -1
    const serial = end < 0 ? Number.NaN : Number.parseInt(payload.slice(1 + PUBLISHER_LENGTH, end), 36)
    if (Number.isNaN(serial)) return payload
    const publisher = payload.slice(1, 1 + PUBLISHER_LENGTH)
    this.#taken ??= new Map()
    const last = this.#taken.get(publisher)
    if (last === undefined) this.#makeRoom(this.#taken)
    else if (serial <= last) return undefined
    this.#taken.set(publisher, serial)
    return payload.slice(end + 1)
  }

  #makeRoom(taken: Map<string, number>): void {
    const [oldest] = taken.keys()
    if (taken.size >= PUBLISHERS_MOST && oldest !== undefined) taken.delete(oldest)
  }
}
