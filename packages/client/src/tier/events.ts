import type { Name } from '@peerage/protocol'
import { Emitter } from '../lib/emitter.js'
import type { PeerState } from './link.js'
import type { Presence } from './watches.js'

/** Where an error came from that no caller waits for. */
export type ErrorStage = 'listener' | 'node' | 'hello' | 'body' | 'p2p'

// A type, not an interface: the emitter asks for an index signature.
export type PeerEvents = {
  /** Once per message, in order per sender. Its sender hears `delivered` after the listeners have returned. */
  message: [from: string, data: unknown, about: { since: number }]
  /** Without a listener, an end that the tier has made (`superseded`, `token-expired`, …) goes to the console. */
  state: [state: PeerState]
  /** A watched peer changed. */
  presence: [presence: Presence]
  /** Nobody waits for this one: a listener that threw, a node's complaint, a token that could not be had. */
  error: [error: unknown, stage: ErrorStage]
}

const PEER_EVENTS = { message: true, state: true, presence: true, error: true } as const

/** What the application hears. What must not be lost goes to the console where nobody listens. */
export class Events extends Emitter<PeerEvents> {
  constructor() {
    super(PEER_EVENTS, (error, event) => this.listenerFailed(error, event))
  }

  fail(error: unknown, stage: ErrorStage): void {
    this.emit('error', error, stage)
  }

  /** Without an `error` listener, or from one, it goes to the console: an uncaught one would end a Node process. */
  listenerFailed(error: unknown, event?: keyof PeerEvents): void {
    if (event !== 'error' && this.has('error')) this.fail(error, 'listener')
    else console.error(error)
  }

  /** `name`: absent before the welcome, when `connect` rejects with why there is an end. */
  changed(state: PeerState, name: Name | undefined): void {
    if (state.state === 'closed' && name !== undefined && !this.has('state')) {
      const { reason, detail } = state
      // An end that the tier has made.
      if (reason !== 'closed' && reason !== 'left')
        console.error(`Peerage: the peer ${name} is closed for good (${reason}): ${detail}`)
    }
    this.emit('state', state)
  }
}
