/** The times of a cluster, all in milliseconds. `checkTimes` checks at startup that they fit together. */
export interface Times {
  /** How often a node renews its own lease, reads the leases of the others, and publishes its canaries. */
  beatMs: number
  /** The lease of a node. A node that has not renewed it for this long is dead to the others, and fences itself. */
  nodeLeaseMs: number
  pingIntervalMs: number
  /** A peer that does not answer a ping within this time is away. */
  pingTimeoutMs: number
  /** The grace: how long a name stays reserved for a holder whose connection dropped. */
  graceMs: number
  /** When the SDK gives up on a message. */
  deadlineMs: number
  /** A lease in the registry ends this long after its last renewal. */
  nameTtlMs: number
  /** A registry or bus command that has no answer after this time has failed. */
  commandMs: number
  /** From SIGTERM to exit. */
  drainMs: number
}

/** Each beat renews one of this many equal shares of the leases. */
export const RENEW_ROUND_BEATS = 15

export const defaultTimes: Times = {
  beatMs: 2_000,
  nodeLeaseMs: 12_000,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 5_000,
  graceMs: 30_000,
  deadlineMs: 30_000,
  nameTtlMs: 90_000,
  commandMs: 800,
  drainMs: 20_000,
}

/**
 * Returns each setting that does not fit the others, with the reason. An empty list means that the node may start.
 */
export function checkTimes(times: Times): { path: keyof Times; problem: string }[] {
  const problems: { path: keyof Times; problem: string }[] = []
  const must = (holds: boolean, path: keyof Times, problem: string): void => {
    if (!holds) problems.push({ path, problem })
  }
  const pingBudgetMs = times.pingIntervalMs + times.pingTimeoutMs
  must(times.nodeLeaseMs >= 5 * times.beatMs, 'nodeLeaseMs', `must be at least 5 beats (${5 * times.beatMs})`)
  must(times.graceMs >= times.deadlineMs, 'graceMs', `must be at least deadlineMs (${times.deadlineMs})`)
  must(
    times.deadlineMs > pingBudgetMs,
    'deadlineMs',
    `must be over pingIntervalMs + pingTimeoutMs (${pingBudgetMs})`,
  )
  // Two rounds of renewals.
  const beats = 2 * RENEW_ROUND_BEATS
  const leastTtlMs = beats * times.beatMs
  must(times.nameTtlMs >= leastTtlMs, 'nameTtlMs', `must be at least ${beats} beats (${leastTtlMs})`)
  must(times.nameTtlMs > times.graceMs, 'nameTtlMs', `must be over graceMs (${times.graceMs})`)
  must(times.commandMs <= 1_000, 'commandMs', 'must be at most 1000: a node answers within a second')
  return problems
}

/**
 * How long a node can still know a lease that ended on another node: it may have lost the registry for `nameTtlMs`,
 * and then keeps the name for its absent holder for `graceMs`.
 */
export function staleLeaseMs(times: Times): number {
  return times.nameTtlMs + times.graceMs
}
