import type {
  CloseReason,
  ErrorCode,
  Hello,
  NodeMessage,
  NodeMessageOf,
  PeerMessage,
  ProtocolError,
} from '@peerage/protocol'
import { closeCodes, closeReasonOf, limits, mayReconnect, temporary } from '@peerage/protocol'
import { check, objectWith } from '../lib/check.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError, withRemedy } from '../lib/error.js'
import { reconnectDelayMs } from './reconnect.js'
import type { OpenTransport, Transport } from './transport.js'

/** Why a peer is closed for good. `closed`: its own `close()`. */
export type EndReason = CloseReason | ErrorCode | 'closed'

export type PeerState =
  /** Before the first welcome. */
  | { state: 'connecting' }
  | { state: 'online'; node: string }
  /**
   * The connection was lost; the name waits, and so do messages. The next attempt starts in `delayMs`. `cause`: what the
   * connection, or the last attempt, ended with.
   */
  | { state: 'reconnecting'; delayMs: number; cause: Error }
  /** Final. */
  | { state: 'closed'; reason: EndReason; detail: string }

/** An attempt to connect that came to nothing. */
export interface FailedAttempt {
  /** Its message says why, and what to do, as far as the platform tells. */
  error: Error
  /** 1 for the first. */
  attempt: number
  /** Milliseconds until the next one. */
  delayMs: number
}

/** What a node says after its welcome. */
export type LaterMessage = Exclude<NodeMessage, { type: 'welcome' | 'closing' }>

export interface LinkOptions {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  open: OpenTransport
  /** Asked before each attempt. May reject: counts as a failed attempt. */
  hello: () => Promise<Hello>
  /** Whether `hello` brings a new token when the old one is no longer valid. */
  renewable: boolean
  onWelcome: (welcome: NodeMessageOf<'welcome'>) => void
  onMessage: (message: LaterMessage) => void
  onState: (state: PeerState) => void
  /** An attempt has failed, and another one will be made. */
  onRetry: (failed: FailedAttempt) => void
  onError: (error: unknown) => void
}

/**
 * After a connection that was up so long, the back-off starts anew: on a bad network peers come back fast, and a node
 * that drops everyone at once is asked less and less often.
 */
const STABLE_MS = 1_000

const aTransport = objectWith('a Transport', 'send', 'close')

/** One attempt, and the connection that comes of it. One that was given up is not the link's any more. */
interface Connection {
  /** Absent while the hello is asked for. */
  transport?: Transport
  /** When its welcome came. */
  onlineAt?: number
  /** Why the node is about to close it. */
  closing?: NodeMessageOf<'closing'>
}

/** Keeps one connection to some node: connects, says hello, comes back, until it is told not to. */
export class Link {
  readonly #options: LinkOptions
  #state: PeerState = { state: 'connecting' }
  /** Absent: it is over, and the next attempt waits. */
  #connection: Connection | undefined
  #timer: Timer | undefined
  /** Attempts since the last connection that was up for long. */
  #attempt = 0
  /** The name is to be given back, as soon as a node can be told. */
  #leaves = false
  #gone: Promise<void> = Promise.resolve()
  #departed = false
  #failure: Error | undefined

  constructor(options: LinkOptions) {
    this.#options = options
  }

  get state(): PeerState {
    return this.#state
  }

  /** What the last attempt or connection ended with. */
  get failure(): Error | undefined {
    return this.#failure
  }

  async open(): Promise<void> {
    if (this.#departed) return
    const connection: Connection = {}
    this.#connection = connection
    const { open, hello, onError } = this.#options
    // Also the application's `token` may never come.
    this.#limit('its `token` did not come')
    try {
      const greeting = await hello()
      if (this.#connection !== connection) return
      this.#limit('no welcome came')
      const transport = open(greeting, {
        message: (message) => this.#receive(connection, message),
        malformed: ({ code, detail }) => onError(new PeerageError(code, detail)),
        refused: (error) => this.#refused(error),
        closed: (code, cause) => this.#lost(connection, code, cause),
      })
      check('what `transport` returns', transport, aTransport)
      connection.transport = transport
    } catch (error) {
      if (this.#connection !== connection) return
      // No token could be had, or no socket: a browser throws for `ws:` on a page that came over https.
      onError(error)
      this.#again(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Tries now instead of after the wait: the network is back. */
  hurry(): void {
    if (this.#state.state === 'reconnecting' && this.#connection?.transport === undefined) void this.open()
  }

  /** False: not online. */
  send(message: PeerMessage): boolean {
    return this.#state.state === 'online' && (this.#connection?.transport?.send(message) ?? false)
  }

  /** Gives the name back, now or with the next welcome; the node then closes. */
  leave(): void {
    this.#leaves = true
    if (!this.send({ type: 'leave' })) this.hurry()
  }

  close(reason: EndReason = 'closed', why = new PeerageError(reason)): void {
    if (this.#state.state === 'closed') return
    this.#failure = why
    this.#timer?.cancel()
    this.#drop()
    this.#to({ state: 'closed', reason, detail: why.message })
  }

  /** The attempt under way has so long for its next step. */
  #limit(late: string): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(limits.handshakeMs, () => {
      this.#drop()
      this.#again(new PeerageError('unreachable', `${late} within ${limits.handshakeMs / 1_000} s`))
    })
  }

  /**
   * Gives the name back without a word to the application, whose process ends: its promises stay as they are. Writes the
   * leave before it returns, and resolves when the node has read it.
   */
  depart(): Promise<void> {
    this.#departed = true
    this.#timer?.cancel()
    const transport = this.#connection?.transport
    this.#connection = undefined
    transport?.send(this.#state.state === 'connecting' ? { type: 'leave', onlyNew: true } : { type: 'leave' })
    return Promise.resolve(transport?.close())
  }

  /** Resolves when the last connection that was closed here is over, and the node has read what was said on it. */
  get gone(): Promise<void> {
    return this.#gone
  }

  // A hello that is not answered yet is taken back, or its name would wait for nobody.
  #drop(): void {
    const transport = this.#connection?.transport
    this.#connection = undefined
    if (transport === undefined) return
    if (this.#state.state !== 'online')
      transport.send(this.#leaves ? { type: 'leave' } : { type: 'leave', onlyNew: true })
    this.#gone = Promise.resolve(transport.close())
  }

  #receive(connection: Connection, message: NodeMessage): void {
    if (message.type === 'closing') connection.closing = message
    else if (message.type === 'welcome') {
      this.#timer?.cancel()
      connection.onlineAt = this.#options.clock.now()
      // Set before it is told: what the welcome sets off is sent at once.
      this.#state = { state: 'online', node: message.node }
      this.#options.onWelcome(message)
      this.#options.onState(this.#state)
      if (this.#leaves) this.leave()
    } else this.#options.onMessage(message)
  }

  #refused({ code, detail, retryAfterMs }: ProtocolError): void {
    const error = new PeerageError(code, withRemedy(code, detail), { retryAfterMs })
    if (temporary[code]) this.#again(error, retryAfterMs)
    else this.close(code, error)
  }

  #lost(
    { closing }: Connection,
    code: number,
    cause: Error = new PeerageError('unreachable', cutText(code)),
  ): void {
    // Said right before the close, for a proxy may replace the close code.
    const said = closing?.reason ?? ''
    const reason = isCloseReason(said) ? said : closeReasonOf(code)
    const mayReturn = mayReconnect(reason === undefined ? code : closeCodes[reason])
    if (!mayReturn && !(reason === 'token-expired' && this.#options.renewable)) {
      if (reason !== undefined) return this.close(reason)
      return this.close('refused', new PeerageError('refused', `the node closed for good, with code ${code}`))
    }
    this.#again(
      reason === undefined ? cause : new PeerageError(reason, `the node closed the connection (${reason})`),
      closing?.retryAfterMs,
    )
  }

  #again(error: Error, retryAfterMs?: number): void {
    if (this.#state.state === 'closed') return
    const { clock, random, onRetry } = this.#options
    this.#failure = error
    this.#timer?.cancel()
    const { onlineAt = Infinity } = this.#connection ?? {}
    this.#connection = undefined
    if (clock.now() - onlineAt >= STABLE_MS) this.#attempt = 0
    const delayMs = reconnectDelayMs(this.#attempt++, random(), retryAfterMs)
    this.#timer = clock.after(delayMs, () => void this.open())
    if (this.#state.state !== 'connecting') this.#to({ state: 'reconnecting', delayMs, cause: error })
    onRetry({ error, attempt: this.#attempt, delayMs })
  }

  #to(state: PeerState): void {
    if (this.#state === state) return
    this.#state = state
    this.#options.onState(state)
  }
}

export function cutText(code: number): string {
  return `the connection to the node was cut (close code ${code})`
}

function isCloseReason(said: string): said is CloseReason {
  return Object.hasOwn(closeCodes, said)
}
