import type {
  CloseReason,
  ErrorCode,
  Hello,
  NodeMessage,
  NodeMessageOf,
  PeerMessage,
  ProtocolError,
} from '@peerage/protocol'
import { chosenCode, closeCodes, closeReasonOf, limits, mayReconnect, temporary } from '@peerage/protocol'
import { check, objectWith } from '../lib/check.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError, withRemedy } from '../lib/error.js'
import { reconnectDelayMs } from './reconnect.js'
import type { OpenTransport, Transport } from './transport.js'

/**
 * Why a peer is closed for good: `closed` after its own `close()`, `left` after its own `leave()`, else the close
 * reason or the error code of a node. See `PeerageErrorCode` for their meanings.
 */
export type EndReason = CloseReason | ErrorCode | 'closed'

/**
 * The state of a peer's connection.
 *
 * - `connecting`: before the first welcome of a node. `connect` has not resolved yet.
 * - `online`: the peer is connected. `node` is the id of the node.
 * - `reconnecting`: the connection was lost. The name is kept for a grace time, and messages wait. The next attempt
 *   starts in `delayMs` milliseconds. `cause` is the error that the connection or the last attempt ended with.
 * - `closed`: final. `reason` is a code, and `detail` a text for people. If an application server closed the peer
 *   (`disconnected`), `detail` is its text, and `code` the close code that it chose (4900 to 4999), if it did.
 */
export type PeerState =
  | { state: 'connecting' }
  | { state: 'online'; node: string }
  | { state: 'reconnecting'; delayMs: number; cause: Error }
  | { state: 'closed'; reason: EndReason; detail: string; code?: number }

/** A failed attempt to connect. Another attempt follows. */
export interface FailedAttempt {
  /** Its message says why the attempt failed and what to do, as far as the platform reports it (browsers do not). */
  error: Error
  /** The number of the attempt, from 1. */
  attempt: number
  /** Milliseconds until the next attempt. */
  delayMs: number
}

/** The messages that a node sends after its welcome. */
export type LaterMessage = Exclude<NodeMessage, { type: 'welcome' | 'closing' }>

export interface ConnectorOptions {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  open: OpenTransport
  /** Makes the hello. Called before each attempt. If it rejects, the attempt has failed. */
  hello: () => Promise<Hello>
  /** Whether `hello` makes a new token for each attempt. */
  isRenewable: boolean
  onWelcome: (welcome: NodeMessageOf<'welcome'>) => void
  onMessage: (message: LaterMessage) => void
  onState: (state: PeerState) => void
  /** Called when an attempt has failed and another one will follow. */
  onRetry: (failed: FailedAttempt) => void
  onError: (error: unknown) => void
}

/**
 * After a connection that lasted this long, the backoff starts from the beginning. So peers on a bad network reconnect
 * fast, while a node that drops all connections at once gets fewer and fewer attempts.
 */
const STABLE_MS = 1_000

/** So many refusals in a row of tokens that the application's function made are not by chance [WL13]. */
const BAD_TOKENS_MOST = 3

const aTransport = objectWith('a Transport', 'send', 'close')

/** An attempt to connect, and the connection that results from it. Each new attempt is a new object in `#connection`. */
interface Connection {
  /** Absent until the hello is made. */
  transport?: Transport
  /** When the welcome came. */
  onlineAt?: number
  /** The node's announcement that it is about to close the connection. */
  closing?: NodeMessageOf<'closing'>
}

/** Keeps one connection to some node open: connects, sends the hello, and reconnects until it is closed. */
export class Connector {
  readonly #options: ConnectorOptions
  #state: PeerState = { state: 'connecting' }
  /** Undefined between a connection and the next attempt. */
  #connection: Connection | undefined
  #timer: Timer | undefined
  /** Attempts since the last stable connection. */
  #attempt = 0
  /** Whether to give the name back as soon as a node can be reached. */
  #leaves = false
  #gone: Promise<void> = Promise.resolve()
  #departed = false
  #failure: Error | undefined
  /** Refusals with `bad-token` since the last welcome. */
  #badTokens = 0

  constructor(options: ConnectorOptions) {
    this.#options = options
  }

  get state(): PeerState {
    return this.#state
  }

  /** The error that ended the last attempt or connection. */
  get failure(): Error | undefined {
    return this.#failure
  }

  async open(): Promise<void> {
    if (this.#departed) return
    const connection: Connection = {}
    this.#connection = connection
    const { open, hello, onError } = this.#options
    // The application's `token` function may never return.
    this.#limitStep('the function `token` returned nothing')
    try {
      const greeting = await hello()
      if (this.#connection !== connection) return
      this.#limitStep('no welcome came')
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
      // `token` failed, or the socket could not be created: a browser throws for `ws:` on a page with https.
      onError(error)
      this.#retryLater(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Starts the next attempt now instead of after the wait. Called when the network is back. */
  retryNow(): void {
    if (this.#state.state === 'reconnecting' && this.#connection?.transport === undefined) void this.open()
  }

  /** Returns false while not online. */
  send(message: PeerMessage): boolean {
    return this.#state.state === 'online' && (this.#connection?.transport?.send(message) ?? false)
  }

  /** Gives the name back now, or after the next welcome. The node then closes the connection. */
  leave(): void {
    this.#leaves = true
    if (!this.send({ type: 'leave' })) this.retryNow()
  }

  /** `code` is the close code that an application server chose. */
  close(reason: EndReason = 'closed', why = new PeerageError(reason), code?: number): void {
    if (this.#state.state === 'closed') return
    this.#failure = why
    this.#timer?.cancel()
    this.#drop()
    this.#setState({ state: 'closed', reason, detail: why.message, ...(code && { code }) })
  }

  /** Limits the time for the next step of the current attempt. `late` is the text for when it takes longer. */
  #limitStep(late: string): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(limits.handshakeMs, () => {
      this.#drop()
      this.#retryLater(new PeerageError('unreachable', `${late} within ${limits.handshakeMs / 1_000} s`))
    })
  }

  /**
   * Gives the name back because the process ends. The application gets no event, and its promises remain unsettled.
   * Writes the leave before it returns, and resolves when the node has read it.
   */
  depart(): Promise<void> {
    this.#departed = true
    this.#timer?.cancel()
    const transport = this.#connection?.transport
    this.#connection = undefined
    transport?.send(this.#state.state === 'connecting' ? { type: 'leave', onlyNew: true } : { type: 'leave' })
    return Promise.resolve(transport?.close())
  }

  /** Resolves when the last connection that this side closed is over, and the node has read its last frames. */
  get gone(): Promise<void> {
    return this.#gone
  }

  // Withdraws a hello that is not answered yet. Otherwise the node would reserve the name, although no peer uses it.
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
      this.#badTokens = 0
      // Set the state before the callback, so that frames which it sends go out at once.
      this.#state = Object.freeze({ state: 'online', node: message.node })
      this.#options.onWelcome(message)
      this.#options.onState(this.#state)
      if (this.#leaves) this.leave()
    } else this.#options.onMessage(message)
  }

  #refused({ code, detail, retryAfterMs }: ProtocolError): void {
    const error = new PeerageError(code, withRemedy(code, detail), { retryAfterMs })
    if (temporary[code] || this.#mayRenew(code)) this.#retryLater(error, retryAfterMs)
    else this.close(code, error)
  }

  /** Whether the next attempt, with a fresh token, may succeed. */
  #mayRenew(reason: EndReason | undefined): boolean {
    if (!this.#options.isRenewable) return false
    return reason === 'token-expired' || (reason === 'bad-token' && ++this.#badTokens < BAD_TOKENS_MOST)
  }

  #lost(
    { closing }: Connection,
    code: number,
    cause: Error = new PeerageError('unreachable', cutText(code)),
  ): void {
    // The node sends the reason right before the close too, because a proxy may replace the close code.
    const said = closing?.reason ?? ''
    const reason = isCloseReason(said) ? said : closeReasonOf(code)
    const isAsked = reason === 'disconnected'
    const chosen = isAsked ? chosenCode(closing?.code ?? code) : undefined
    const text = (isAsked && closing?.text) || undefined
    const mayReturn = mayReconnect(chosen ?? (reason === undefined ? code : closeCodes[reason]))
    if (!mayReturn && !this.#mayRenew(reason)) {
      if (reason !== undefined) return this.close(reason, new PeerageError(reason, text), chosen)
      return this.close(
        'refused',
        new PeerageError('refused', `the node closed the connection for good, with code ${code}`),
      )
    }
    const why = text ?? `the node closed the connection (${reason})`
    this.#retryLater(reason === undefined ? cause : new PeerageError(reason, why), closing?.retryAfterMs)
  }

  #retryLater(error: Error, retryAfterMs?: number): void {
    if (this.#state.state === 'closed') return
    const { clock, random, onRetry } = this.#options
    this.#failure = error
    this.#timer?.cancel()
    const { onlineAt = Infinity } = this.#connection ?? {}
    this.#connection = undefined
    if (clock.now() - onlineAt >= STABLE_MS) this.#attempt = 0
    const delayMs = reconnectDelayMs(this.#attempt++, random(), retryAfterMs)
    this.#timer = clock.after(delayMs, () => void this.open())
    if (this.#state.state !== 'connecting') this.#setState({ state: 'reconnecting', delayMs, cause: error })
    onRetry({ error, attempt: this.#attempt, delayMs })
  }

  #setState(state: PeerState): void {
    if (this.#state === state) return
    // Frozen, because `peer.state` hands it out.
    this.#state = Object.freeze(state)
    this.#options.onState(state)
  }
}

export function cutText(code: number): string {
  return `the connection to the node was cut (close code ${code})`
}

function isCloseReason(said: string): said is CloseReason {
  return Object.hasOwn(closeCodes, said)
}
