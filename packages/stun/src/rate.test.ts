import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readSource } from './address.js'
import { SourceRates } from './rate.js'

class Sources {
  readonly #rates: SourceRates
  readonly #ip = new Uint8Array(16)

  constructor(perSecond: number, burst: number) {
    this.#rates = new SourceRates({ perSecond, burst })
  }

  take(address: string, nowMs: number): boolean {
    return this.#rates.take(this.#ip, readSource(address, this.#ip), nowMs)
  }

  /** How many of `tries` at one moment succeed. */
  takeMany(address: string, nowMs: number, tries: number): number {
    let taken = 0
    for (let i = 0; i < tries; i++) if (this.take(address, nowMs)) taken++
    return taken
  }
}

describe('the rate of a source', () => {
  it('[STUN40] a source gets a burst, and then one token for each interval', () => {
    const sources = new Sources(50, 200)
    expect(sources.takeMany('192.0.2.1', 0, 1_000)).toBe(200)
    expect(sources.takeMany('192.0.2.1', 19, 10)).toBe(0)
    expect(sources.takeMany('192.0.2.1', 20, 10)).toBe(1)
    expect(sources.takeMany('192.0.2.1', 120, 10)).toBe(5)
    expect(sources.takeMany('192.0.2.1', 3_600_000, 1_000)).toBe(200)
  })

  it.each([
    [28, 29],
    [14, 57],
    [73, 3],
  ])('[STUN40] rounding takes no token from a burst: %d a second at %d ms', (perSecond, nowMs) => {
    expect(new Sources(perSecond, 2).takeMany('192.0.2.1', nowMs, 10)).toBe(2)
  })

  it('[STUN40] a source never gets more than burst + time × rate, whenever its requests come', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 300 })
    fc.assert(
      fc.property(
        gaps,
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 50 }),
        (gapsMs, rate, burst) => {
          const sources = new Sources(rate, burst)
          let nowMs = 0
          let taken = 0
          for (const gapMs of gapsMs) {
            nowMs += gapMs
            if (sources.take('192.0.2.1', nowMs)) taken++
            // A microsecond of tolerance for the rounding of sums, here and in the code.
            expect(taken).toBeLessThanOrEqual(burst + ((nowMs + 0.001) / 1000) * rate)
          }
          if (gapsMs.length <= burst) expect(taken).toBe(gapsMs.length)
        },
      ),
    )
  })

  it('[STUN41] a hundred floods do not slow ten thousand others', () => {
    const sources = new Sources(50, 200)
    for (let i = 0; i < 100; i++) sources.takeMany(`10.0.0.${i}`, 0, 1_000)
    let slowed = 0
    for (let i = 0; i < 10_000; i++) {
      if (!sources.take(`192.168.${i >> 8}.${i & 255}`, 0)) slowed++
    }
    // By chance about 1 of 100,000 sources is slowed down. With a table of one row it would be about 30.
    expect(slowed).toBeLessThan(5)
  })

  it('[STUN42] a /64 is one source, another /64 is another', () => {
    const sources = new Sources(1, 2)
    expect(sources.take('2001:db8:1:2::1', 0)).toBe(true)
    expect(sources.take('2001:db8:1:2:ffff::2', 0)).toBe(true)
    expect(sources.take('2001:db8:1:2::3', 0)).toBe(false)
    expect(sources.take('2001:db8:1:3::1', 0)).toBe(true)
  })

  it('[STUN42] an IPv4 address and its mapped form are one source, and an IPv6 prefix of the same bytes is another', () => {
    const sources = new Sources(1, 1)
    expect(sources.take('::ffff:32.1.13.184', 0)).toBe(true)
    expect(sources.take('32.1.13.184', 0)).toBe(false)
    expect(sources.take('2001:db8::', 0)).toBe(true)
  })

  it('[STUN43] a flood of spoofed sources gives no source a fresh bucket', () => {
    const sources = new Sources(1, 1)
    expect(sources.take('192.0.2.1', 0)).toBe(true)
    for (let i = 0; i < 200_000; i++) sources.take(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0)
    expect(sources.take('192.0.2.1', 0)).toBe(false)
  })
})
