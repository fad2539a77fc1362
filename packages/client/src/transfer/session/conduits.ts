import type { Conduit, Message } from '../types.js'

/** A conduit to a peer that has proven who it is. The session makes another one when it closes. */
export interface OpenConduit extends Conduit {
  readonly way: 'channel' | 'server'
  /** Calls the listener once when the conduit has closed, also if it is closed already. */
  onClosed(listener: (reason: string) => void): void
  /** `flush`: what was sent still arrives, if that is possible within some seconds. */
  close(reason: string, flush: boolean): void
}

/** The size in bytes for bounds. A UTF-16 unit has at most three bytes of UTF-8; two are a fair guess. */
export const sizeOf = (message: Message): number =>
  typeof message === 'string' ? message.length * 2 : message.length
