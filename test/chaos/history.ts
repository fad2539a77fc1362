/**
 * The events as the peers themselves saw them. The checker has no other source: no registry, no node, no seq.
 * Times are milliseconds of one monotonic clock, the test's.
 */
export type Event =
  /** A peer asks to send. `id` is unique in the history; `order` counts per sender and recipient. */
  | { type: 'send'; at: number; id: string; from: string; to: string; order: number }
  /** How that send ended for its sender; `unknown`: the sender itself ended. */
  | {
      type: 'settled'
      at: number
      id: string
      outcome: 'delivered' | 'unavailable' | 'timeout' | 'refused' | 'unknown'
      /** The SDK's error code, for the reader of a failed run. */
      code?: string
    }
  /** The application of `to`, which has held its name since `since`, received the message. */
  | { type: 'received'; at: number; id: string; to: string; since: number }
  /** `who` (one application) holds `name`, from the welcome until it is told otherwise or loses its socket. */
  | { type: 'holds'; at: number; name: string; who: string; since: number }
  | { type: 'lost'; at: number; name: string; who: string }
  /** The test injects a fault, or undoes it. */
  | { type: 'inject'; at: number; fault: string; target: string }
  | { type: 'heal'; at: number; fault: string; target: string }

export class History {
  readonly events: Event[] = []
  readonly #started = performance.now()

  now(): number {
    return performance.now() - this.#started
  }

  add(event: DistributiveOmit<Event, 'at'>): number {
    const at = this.now()
    this.events.push({ ...event, at })
    return at
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
