// When to reconnect, as a pure function. It uses full jitter, so that ten thousand peers of a dead node spread out.

/** The first wait is random, up to this. */
const FIRST_MS = 1_000
/** The range doubles up to this. 15 to 30 s keeps nodes that come back from being flooded. */
const CAP_MS = 20_000
/** The longest wait that a node, or a proxy in front of it, can ask for. */
const RETRY_MOST_MS = 5 * 60_000

/**
 * Milliseconds until the next attempt. `attempt` counts from 0 since the last stable connection; `random` is in [0, 1).
 * If the node named a time (`retryAfterMs`), the first wait is exactly that. If it refuses again, growing jitter is
 * added.
 */
export function reconnectDelayMs(attempt: number, random: number, retryAfterMs?: number): number {
  const jitterMs = random * Math.min(CAP_MS, FIRST_MS * 2 ** attempt)
  // Ignore an invalid time.
  if (retryAfterMs === undefined || !(retryAfterMs >= 0)) return jitterMs
  return Math.min(RETRY_MOST_MS, retryAfterMs) + (attempt === 0 ? 0 : jitterMs)
}
