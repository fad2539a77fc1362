/** The events of a wire, for its load peer. */
export interface WireEvents {
  /** The peer may send now: it is connected and, if the wire has names, holds its own. */
  ready(): void
  body(from: string, body: string): void
  /** This many of the peer's own messages were acknowledged end to end, if the wire has acknowledgements. */
  acknowledged(count: number): void
  problem(text: string): void
}

/** One peer's side of a wire, written by hand without a client library, so that the load is never the limit. */
export interface Wire {
  /** Path and query of the upgrade request. */
  readonly path: string
  /** Called right after the upgrade. */
  opened(): void
  frame(text: string): void
  /** Looks up the recipients if the wire requires this before the first message. */
  prepare(recipients: readonly string[]): Promise<void>
  message(to: string, body: string): void
  /** Resolves once this peer is a member; only if the wire has rooms. */
  join?(room: string): Promise<void>
  /** Sends to all members of a room. */
  say?(room: string, body: string): void
  /** Stops the wire's timers, if it has any. */
  stop(): void
}

export type WireName = 'socketio' | 'socketio-ack' | 'peerage' | 'peerjs' | 'publish'

export interface WireContext {
  name: string
  /** Chosen once per peer, so that a reconnect shows the same secret. */
  secret: string
  /** The access token of every peer, if the node needs one. */
  token: string | undefined
  send(frame: string): void
  events: WireEvents
}

const isRecord = (input: unknown): input is Record<string, unknown> =>
  typeof input === 'object' && input !== null && !Array.isArray(input)

export const asText = (input: unknown): string => (typeof input === 'string' ? input : '')
export const asNumber = (input: unknown): number => (typeof input === 'number' ? input : Number.NaN)
export const asRecord = (input: unknown): Record<string, unknown> => (isRecord(input) ? input : {})
export const asList = (input: unknown): unknown[] => (Array.isArray(input) ? input : [])
