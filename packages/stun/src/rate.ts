// Limits how often the server answers one source: a token bucket per source, in a fixed amount of memory.
import { randomBytes } from 'node:crypto'
import { IPV4_BYTES } from './address.js'

export interface Rate {
  /** How many answers a source gets each second, in the long run. */
  readonly perSecond: number
  /** How many answers a source that was silent may get at once. */
  readonly burst: number
}

/**
 * A burst is a sum of intervals. Without this tolerance, rounding would refuse the last token of a burst, for example
 * of two at 28 a second at 29 ms. It is far above the rounding error of a year of uptime, and far below one interval.
 */
const ROUNDING_MS = 0.001

/** Slots in each of the two rows: 2 × 32,768 × 8 bytes = 512 KiB, however many sources there are. */
const SLOTS = 32_768

/**
 * Token buckets for any number of sources in two rows of fixed size.
 *
 * A bucket is one number: the time at which it will be full again (GCRA, ITU-T I.371). A source has one slot in each
 * row, chosen by two hashes with a secret salt. The slot with the earlier time counts, and a spent token sets both
 * slots to at least the new time. So a source never gets more than its rate, whatever others do. (A table that
 * forgets old sources would give a flood of spoofed sources a fresh bucket each time.) Others slow a source down only
 * if flooding sources share both of its slots: with 100 of them, that happens to about 1 source in 100,000.
 *
 * A source is an IPv4 address or the /64 prefix of an IPv6 address, because one subscriber has a whole /64.
 */
export class SourceRates {
  readonly #intervalMs: number
  readonly #toleranceMs: number
  /** The monotonic time, in milliseconds, at which a slot's bucket is full again. */
  readonly #first = new Float64Array(SLOTS).fill(-Infinity)
  readonly #second = new Float64Array(SLOTS).fill(-Infinity)
  readonly #salt = new Uint32Array(4)

  constructor(rate: Rate) {
    this.#intervalMs = 1000 / rate.perSecond
    this.#toleranceMs = this.#intervalMs * (rate.burst - 1) + ROUNDING_MS
    const random = randomBytes(16)
    for (let i = 0; i < 4; i++) this.#salt[i] = random.readUInt32LE(4 * i)
  }

  /** Takes a token of the source whose address is the first 4 or 16 bytes of `ip`. False if it has none left. */
  take(ip: Uint8Array, length: number, nowMs: number): boolean {
    const high = word(ip, 0)
    // The second word keeps an IPv4 address and an IPv6 prefix with the same first word apart.
    const low = length === IPV4_BYTES ? length : word(ip, 4)
    const a = this.#slot(high, low, 0)
    const b = this.#slot(high, low, 2)
    const fullAtMs = Math.max(nowMs, Math.min(this.#first[a] ?? 0, this.#second[b] ?? 0))
    if (fullAtMs - nowMs > this.#toleranceMs) return false
    const next = fullAtMs + this.#intervalMs
    if ((this.#first[a] ?? 0) < next) this.#first[a] = next
    if ((this.#second[b] ?? 0) < next) this.#second[b] = next
    return true
  }

  #slot(high: number, low: number, salt: number): number {
    let hash = mix(high ^ (this.#salt[salt] ?? 0))
    hash = mix(hash ^ low ^ (this.#salt[salt + 1] ?? 0))
    return hash & (SLOTS - 1)
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)
  )
}

/** The 32-bit finalizer of MurmurHash3: every input bit affects every bit of the result. */
function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
