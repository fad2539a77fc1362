/** A timer is too coarse for a shorter wait than this, so the loop spins instead. */
const SPIN_MS = 2

export interface Pace {
  /** Calls a second, evenly spaced. */
  rate: number
  ms: number
  /** Spins until each due time, for exact latencies. That takes a whole core, so not for runs that measure CPU. */
  precise: boolean
}

/**
 * Calls `act` on an open-loop schedule, with the time (performance.now) at which each call was due. A late call is
 * made at once and never left out, and its delay counts. So there is no coordinated omission.
 */
export function paced(pace: Pace, act: (dueMs: number, index: number) => void): Promise<number> {
  const total = Math.max(1, Math.round((pace.rate * pace.ms) / 1000))
  const gapMs = 1000 / pace.rate
  const start = performance.now() + gapMs
  let next = 0
  return new Promise((resolve) => {
    const turn = (): void => {
      const now = performance.now()
      while (next < total && start + next * gapMs <= now) {
        act(start + next * gapMs, next)
        next++
      }
      if (next >= total) {
        resolve(total)
        return
      }
      const waitMs = start + next * gapMs - performance.now()
      if (!pace.precise) setTimeout(turn, Math.max(1, waitMs))
      else if (waitMs < SPIN_MS) setImmediate(turn)
      else setTimeout(turn, waitMs - SPIN_MS)
    }
    turn()
  })
}
