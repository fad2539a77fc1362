import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Wire } from '@peerage/core'

/** The path where a gateway takes upgrades. `setting` names the option that changes the path, for error messages. */
export interface Endpoint {
  path: string
  setting: string
}

/** Takes HTTP requests. Returns true when the request is its own, and false without touching it when it is not. */
export interface RequestTaker {
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean
}

/**
 * The entrance to a node for one wire. It turns frames into messages and outcomes into frames, and decides nothing else.
 * Both handlers return true when the request is theirs, and false without touching it when it is not.
 */
export interface HttpGateway extends Partial<RequestTaker> {
  readonly wire: Wire
  /** Where this gateway takes upgrades. */
  readonly endpoint: Endpoint
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** How many connections are open now. */
  readonly connections: number
  start(): void | Promise<void>
  /** Whether a drain moves the peers of all other gateways first. */
  readonly drainsLast?: boolean
  /** Tells its peers to move to another node, in batches with jitter, within `ms`. Takes no new connections. */
  drain(ms: number): Promise<void>
  /** Ends the remaining connections. Afterwards the gateway has no timer, no listener and no socket. */
  stop(): void | Promise<void>
}
