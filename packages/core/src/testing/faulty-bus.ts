import type { NodeId } from '@peerage/protocol'
import type { Bus, Origin, Published } from '../routing/bus.js'
import type { Clock } from '../lib/clock.js'
import type { Envelope } from '../routing/message.js'

export interface Faults {
  /** The same seed gives the same faults for the same sequence of publishes. */
  seed: number
  /** Share of envelopes that are lost although the answer is `sent`: 0 to 1. */
  loss?: number
  /** Share of publishes that are refused as `unavailable`: 0 to 1. */
  refusal?: number
  /**
   * Share of envelopes that arrive twice: 0 to 1. No bus of ours doubles envelopes, but some receivers must tolerate
   * it.
   */
  double?: number
  /** Each envelope is delayed by a random time of at most this many milliseconds, so later ones may overtake it. */
  delayMs?: number
}

export interface FaultyBus extends Bus {
  /** Sets other faults from now on, without restarting the random sequence. `{}` removes all faults. */
  set(faults: Omit<Faults, 'seed'>): void
  readonly counts: { sent: number; lost: number; refused: number; doubled: number; delayed: number }
}

/** Wraps a bus, and injects the faults of a network. */
export function faultyBus(bus: Bus, clock: Clock, faults: Faults): FaultyBus {
  const draw = randomFrom(faults.seed)
  let { loss = 0, refusal = 0, double = 0, delayMs = 0 }: Omit<Faults, 'seed'> = faults
  const counts = { sent: 0, lost: 0, refused: 0, doubled: 0, delayed: 0 }
  const publish = async (to: NodeId, envelope: Envelope, origin?: Origin): Promise<Published> => {
    // Each envelope uses the same number of random numbers, so that changing the share of one fault does not change the
    // others.
    const [forRefusal, forLoss, forDouble, forDelay] = [draw(), draw(), draw(), draw()]
    if (forRefusal < refusal) {
      counts.refused++
      return 'unavailable'
    }
    counts.sent++
    if (forLoss < loss) {
      counts.lost++
      return 'sent'
    }
    if (forDouble < double) {
      counts.doubled++
      await bus.publish(to, envelope, origin)
    }
    const waitMs = forDelay * delayMs
    if (waitMs === 0) return bus.publish(to, envelope, origin)
    counts.delayed++
    clock.after(waitMs, () => void bus.publish(to, envelope, origin))
    return 'sent'
  }
  return {
    subscribe: (node, receive) => bus.subscribe(node, receive),
    publish,
    close: () => bus.close(),
    set: (next) => {
      loss = next.loss ?? 0
      refusal = next.refusal ?? 0
      double = next.double ?? 0
      delayMs = next.delayMs ?? 0
    },
    counts,
  }
}

/** Pseudo-random numbers from 0 up to 1 (xorshift32). */
export function randomFrom(seed: number): () => number {
  // The state must not be zero, because then this generator returns only zeros.
  let state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 0x1_0000_0000
  }
}
