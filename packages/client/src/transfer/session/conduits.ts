import type { Conduit } from '../types.js'

/** A conduit to a peer that has proven who it is. The session makes another one when it closes. */
export interface OpenConduit extends Conduit {
  readonly way: 'channel' | 'server'
  /** Calls the listener once when the conduit has closed, also if it is closed already. */
  onClosed(listener: (reason: string) => void): void
  /**
   * `flush`: what was sent still arrives, if that is possible within some seconds. Resolves after that. Never rejects.
   */
  close(reason: string, flush: boolean): Promise<void>
}
