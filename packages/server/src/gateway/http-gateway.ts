import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Wire } from '@peerage/core'

/** Where a gateway takes upgrades. `setting`: the name of the option that moves it elsewhere, for messages. */
export interface Place {
  path: string
  setting: string
}

/**
 * One wire's entrance to a node. It turns frames into messages and outcomes into frames, and decides nothing else. Both
 * handlers answer true when the request is theirs, and false without touching it.
 */
export interface HttpGateway {
  readonly wire: Wire
  /** Where its upgrades come in. */
  readonly place: Place
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  handleRequest?(request: IncomingMessage, response: ServerResponse): boolean
  /** Open connections now. */
  readonly connections: number
  start(): void | Promise<void>
  /** Tells its peers to move, in batches with jitter, within `ms`; takes no more. */
  drain(ms: number): Promise<void>
  /** Ends what is left. Afterwards no timer, no listener and no socket of it remains. */
  stop(): void | Promise<void>
}
