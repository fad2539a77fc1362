import type { Wire } from '@peerage/core'
import type { Counter } from 'prom-client'

interface Tally {
  count: number
  bytes: number
}

/**
 * Counts messages by wire, type and result as plain numbers, and hands them to the library when it is asked: the
 * library hashes the labels of each count, and that was a tenth of what relaying a message costs.
 */
export class MessageCounts {
  readonly #tallies = new Map<Wire, Map<string, Map<string, Tally>>>()

  add(wire: Wire, type: string, result: string, bytes: number): void {
    const tally = this.#tallies.get(wire)?.get(type)?.get(result) ?? this.#make(wire, type, result)
    tally.count++
    tally.bytes += bytes
  }

  /** What has come since the last time. */
  flushTo(messages: Counter<'gateway' | 'type' | 'result'>, bytes: Counter<'gateway'>): void {
    for (const [gateway, types] of this.#tallies)
      for (const [type, results] of types)
        for (const [result, tally] of results) {
          messages.inc({ gateway, type, result }, tally.count)
          bytes.inc({ gateway }, tally.bytes)
          tally.count = 0
          tally.bytes = 0
        }
  }

  #make(wire: Wire, type: string, result: string): Tally {
    const types = this.#tallies.get(wire) ?? new Map<string, Map<string, Tally>>()
    const results = types.get(type) ?? new Map<string, Tally>()
    const tally = { count: 0, bytes: 0 }
    this.#tallies.set(wire, types.set(type, results.set(result, tally)))
    return tally
  }
}
