/** One wire's entrance to a node. It turns frames into messages and outcomes into frames, and decides nothing else. */
export interface Gateway {
  start(): void | Promise<void>
  /** Tells its peers to move, in batches with jitter, within `ms`; admits no more. */
  drain(ms: number): Promise<void>
  /** Ends what is left. Afterwards no timer, no listener and no socket of it remains. */
  stop(): void | Promise<void>
}
