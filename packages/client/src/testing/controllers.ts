import type { Channel } from '../p2p/channel/channel.js'
import { createP2P } from '../p2p/p2p.js'
import type { P2P } from '../p2p/controls.js'
import type { P2PContext, P2POptions } from '../p2p/options.js'
import { loadNodeDataChannel } from '../platform/node-rtc.js'
import type { Rendezvous } from './rendezvous.js'

/** The controllers of one test, so that it can close them all at its end. */
export class Controllers {
  readonly #open: P2P[] = []

  make(tier: Rendezvous, name: string, options: P2POptions = {}, context: Partial<P2PContext> = {}): P2P {
    const p2p = createP2P(tier.context(name, context), undefined, options)
    if (p2p === null) throw new Error('P2P is disabled')
    this.#open.push(p2p)
    return p2p
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((p2p) => p2p.close()))
  }
}

/** The RTCPeerConnection of node-datachannel, for tests that extend it. */
export const nodePeerConnection = loadNodeDataChannel

/** The next channel that opens at this controller. */
export function opened(p2p: P2P): Promise<Channel> {
  return new Promise((resolve) => {
    const stop = p2p.on('channel-opened', (channel) => {
      stop()
      resolve(channel)
    })
  })
}

/** The next message that arrives on this channel. */
export function received(channel: Channel): Promise<string | Uint8Array> {
  return new Promise((resolve) => {
    const stop = channel.on('message', (data) => {
      stop()
      resolve(data)
    })
  })
}

/** The reason with which this channel closes. */
export function closed(channel: Channel): Promise<string> {
  return new Promise((resolve) => channel.on('close', resolve))
}

/** The error with which the promise rejects. Rejects if the promise is fulfilled. */
export function failure(attempt: Promise<unknown>): Promise<Error> {
  return attempt.then(
    () => Promise.reject(new Error('it was fulfilled')),
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  )
}
