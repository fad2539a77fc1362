import type { Name } from '@peerage/protocol'
import { Emitter } from '../lib/emitter.js'
import type { PeerState } from './connector.js'
import type { Presence } from './watches.js'

/**
 * The source of an error that no call rejects with: `listener` (a listener threw or rejected), `node` (a node refused a
 * frame), `hello` (an attempt to connect failed, for example because `token` rejected, or a node sent a frame that the
 * SDK cannot read), `token` (the access token could not be renewed before it ends; the SDK tries again), `body` (a message
 * could not be decoded), or `p2p` (the P2P controller).
 */
export type ErrorStage = 'listener' | 'node' | 'hello' | 'token' | 'body' | 'p2p'

/** What is known of the sender of a message. */
export interface MessageAbout {
  /** When the sender claimed its name, in milliseconds of Redis time. It identifies this holder of the name. */
  since: number
  /** True if an application server sent the message by the API. Absent for every other sender: no peer can set it. */
  server?: true
}

// This is a type and not an interface, because the emitter needs an index signature.
/** The events of a `Peer`, with the arguments of their listeners. */
export type PeerEvents = {
  /**
   * A message arrived. Each message comes once, in the order in which its sender sent it (protocol SPEC.md, WD4). The
   * `send` of its sender resolves after the listeners have returned. While there is no listener, messages wait
   * unacknowledged.
   *
   * `from` is the sender's name. `data` is the message: a JSON value, a string, or a `Uint8Array`. `about` says more about
   * the sender; see `MessageAbout`.
   */
  message: [from: string, data: unknown, about: MessageAbout]
  /**
   * The state of the connection changed; see `PeerState`. If there is no listener and a node has closed the peer for
   * good (for example as `superseded` or `token-expired`), the reason goes to the console.
   */
  state: [state: PeerState]
  /** The presence of a watched name changed. */
  presence: [presence: Presence]
  /**
   * An error that no call rejects with; see `ErrorStage`. Without a listener it goes to the console, and repeats of the
   * same error do not.
   */
  error: [error: unknown, stage: ErrorStage]
}

const PEER_EVENTS = { message: true, state: true, presence: true, error: true } as const

/** The events for the application. Without a listener, errors and final ends go to the console. */
export class Events extends Emitter<PeerEvents> {
  /** The last error that went to the console. */
  #told = ''

  constructor() {
    super(PEER_EVENTS, (error, event) => this.listenerFailed(error, event))
  }

  /** Without a listener, repeats of one error reach the console once, because other peers can cause many. */
  fail(error: unknown, stage: ErrorStage): void {
    if (this.has('error')) return this.emit('error', error, stage)
    const text = `${stage} ${String(error)}`
    if (text !== this.#told) console.error(error)
    this.#told = text
  }

  /**
   * The error of a listener becomes an `error` event. If there is no `error` listener, or the error is its own, it goes
   * to the console, because an uncaught error would end a Node process.
   */
  listenerFailed(error: unknown, event?: keyof PeerEvents): void {
    if (event !== 'error' && this.has('error')) this.fail(error, 'listener')
    else console.error(error)
  }

  /** `name` is undefined before the welcome. Then `connect` rejects, so the console need not be told. */
  changed(state: PeerState, name: Name | undefined): void {
    if (state.state === 'closed' && name !== undefined && !this.has('state')) {
      const { reason, detail } = state
      // A node has closed the peer.
      if (reason !== 'closed' && reason !== 'left')
        console.error(`Peerage: the peer ${name} is closed for good (${reason}): ${detail}`)
    }
    this.emit('state', state)
  }
}
