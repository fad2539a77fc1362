import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Gateway, Wire } from '@peerage/core'

/** Where a gateway takes upgrades, and the setting that moves it elsewhere. */
export interface Place {
  path: string
  setting: 'path' | 'peerjs.path'
}

/** A gateway that comes in over HTTP. Both answer true when the request is theirs, and false without touching it. */
export interface HttpGateway extends Gateway {
  readonly wire: Wire
  /** Where its upgrades come in. */
  readonly place: Place
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  handleRequest?(request: IncomingMessage, response: ServerResponse): boolean
  /** Open connections now. */
  readonly connections: number
}
