import { randomBytes } from 'node:crypto'

// A master of a Cluster sends what is published on it to its replicas, and they hand it to their own subscribers. So in
// a failover a node that has moved to the new master may hear again what it heard at the old one a moment before.

/** No record, room text or canary begins so. */
const MARK = '\u0001'
/** 48 bits of chance, in base64url. */
const PUBLISHER_BYTES = 6
const PUBLISHER_LENGTH = 8
/** Of one channel; many more than a cluster has nodes. */
const PUBLISHERS_MOST = 1_000

/** Numbers what one process publishes: mark, publisher, number in base 36, a space, the payload. */
export class Stamp {
  readonly #head = MARK + randomBytes(PUBLISHER_BYTES).toString('base64url')
  #serial = 0

  put(payload: string): string {
    this.#serial++
    return `${this.#head}${this.#serial.toString(36)} ${payload}`
  }
}

/** Takes what comes to one channel once, in the order in which each publisher sent it. */
export class Once {
  /** Publisher → the last number that was taken. Most channels never need one: 260 bytes each in place of 440. */
  #taken: Map<string, number> | undefined

  /** The payload as it was published; undefined: it came before. What bears no stamp is taken as it is. */
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
