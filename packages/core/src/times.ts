/** The times of a cluster, all in milliseconds. What must hold between them is checked at start. */
export interface Times {
  /** Each node renews its own lease and looks at the others this often; the canary probe runs as often. */
  beatMs: number
  /** A node that has not beaten for so long is dead to the others, and fenced to itself. */
  nodeLeaseMs: number
  pingIntervalMs: number
  /** A peer that does not answer a ping for so long is away. */
  pingTimeoutMs: number
  /** How long a name waits for its holder. */
  graceMs: number
  /** When the SDK gives a message up. */
  deadlineMs: number
  /** A lease in the registry that nobody renews ends after this. */
  nameTtlMs: number
  /** A registry or bus command that has not answered by then has failed. */
  commandMs: number
  /** From SIGTERM to exit. */
  drainMs: number
}

/** Each beat renews this share of the leases. */
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

/** What does not fit together, each with the key to change; empty: start. */
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
  const roundMs = RENEW_ROUND_BEATS * times.beatMs
  must(times.nameTtlMs >= 2 * roundMs, 'nameTtlMs', `must be at least two renewal rounds (${2 * roundMs})`)
  must(times.nameTtlMs > times.graceMs, 'nameTtlMs', `must be over graceMs (${times.graceMs})`)
  must(times.commandMs <= 1_000, 'commandMs', 'must be at most 1000: a node answers within a second')
  return problems
}

/** How long a node may still know a holder that left elsewhere: it has lost the registry, and the peer is away from it. */
export function ghostMs(times: Times): number {
  return times.nameTtlMs + times.graceMs
}
