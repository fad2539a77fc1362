/** What a load peer tells its group. */
export interface WireEvents {
  /** It may send now: connected, and, where the wire has names, holder of its own. */
  ready(): void
  body(from: string, body: string): void
  /** So many of its own messages are acknowledged end to end, where the wire has acknowledgements. */
  acknowledged(count: number): void
  problem(text: string): void
}

/** One peer's side of a wire, written by hand: no client library, so that the load is never the limit. */
export interface Wire {
  /** Path and query of the upgrade request. */
  readonly path: string
  /** Right after the upgrade. */
  opened(): void
  frame(text: string): void
  /** What must be known of the recipients before the first message; resolves when it is. */
  prepare(recipients: readonly string[]): Promise<void>
  message(to: string, body: string): void
  /** Resolves when this peer is a member. Where the wire has rooms. */
  join?(room: string): Promise<void>
  /** To all members of a room. */
  say?(room: string, body: string): void
  /** Its timers, where it has some. */
  stop(): void
}

export type WireName = 'socketio' | 'socketio-ack' | 'peerage' | 'peerjs' | 'publish'

export interface WireContext {
  name: string
  /** Chosen once a peer: a reconnect shows the same one. */
  secret: string
  send(frame: string): void
  events: WireEvents
}

const isRecord = (input: unknown): input is Record<string, unknown> =>
  typeof input === 'object' && input !== null && !Array.isArray(input)

export const asText = (input: unknown): string => (typeof input === 'string' ? input : '')
export const asNumber = (input: unknown): number => (typeof input === 'number' ? input : Number.NaN)
export const asRecord = (input: unknown): Record<string, unknown> => (isRecord(input) ? input : {})
export const asList = (input: unknown): unknown[] => (Array.isArray(input) ? input : [])
