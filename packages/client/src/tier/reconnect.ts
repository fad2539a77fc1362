// When to come back, as a pure schedule: full jitter, so that ten thousand peers of a killed node spread out.

/** The first wait is anywhere in this time. */
const FIRST_MS = 1_000
/** Each wait doubles up to this: 15 to 30 s keeps a tier that returns from being flooded. */
const CAP_MS = 20_000
/** The longest that a node, or what stands before it, can keep a peer away. */
const RETRY_MOST_MS = 5 * 60_000

/**
 * Milliseconds until the next attempt. `attempt` counts from 0 since the last stable connection; `random` is in
 * [0, 1). A node that named a time (`retryAfterMs`) is taken at its word the first time; if it goes on
 * refusing, the growing jitter comes on top.
 */
export function reconnectDelayMs(attempt: number, random: number, retryAfterMs?: number): number {
  const jitterMs = random * Math.min(CAP_MS, FIRST_MS * 2 ** attempt)
  // What is no time was not said.
  if (retryAfterMs === undefined || !(retryAfterMs >= 0)) return jitterMs
  return Math.min(RETRY_MOST_MS, retryAfterMs) + (attempt === 0 ? 0 : jitterMs)
}
