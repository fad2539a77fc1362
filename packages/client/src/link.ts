import type {
  CloseReason,
  ErrorCode,
  Hello,
  NodeMessage,
  NodeMessageOf,
  PeerMessage,
  ProtocolError,
} from '@peerage/protocol'
import { closeCodes, closeReasonOf, finalTexts, limits, mayReconnect, temporary } from '@peerage/protocol'
import type { Clock, Timer } from './clock.js'
import { PeerageError } from './error.js'
import { reconnectDelayMs } from './reconnect.js'
import type { OpenTransport, Transport } from './transport.js'

/** Why a peer is closed for good. `closed`: its own `close()`. */
export type EndReason = CloseReason | ErrorCode | 'closed'

export type PeerState =
  /** Before the first welcome. */
  | { state: 'connecting' }
  | { state: 'online'; node: string }
  /** The connection was lost; the name waits, and so do messages. The next attempt starts in `delayMs`. */
  | { state: 'reconnecting'; delayMs: number }
  /** Final. */
  | { state: 'closed'; reason: EndReason; detail: string }

/** What a node says after its welcome. */
export type LaterMessage = Exclude<NodeMessage, { type: 'welcome' | 'closing' }>

export interface LinkDeps {
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
  onError: (error: unknown) => void
}

/**
 * After a connection that was up so long, the back-off starts anew: on a bad network peers come back fast, and a node
 * that drops everyone at once is asked less and less often.
 */
const STABLE_MS = 1_000

/** Keeps one connection to some node: connects, says hello, comes back, until it is told not to. */
export class Link {
  readonly #deps: LinkDeps
  #state: PeerState = { state: 'connecting' }
  #transport: Transport | undefined
  #timer: Timer | undefined
  #attempt = 0
  #onlineAt = Infinity
  #closing: NodeMessageOf<'closing'> | undefined
  /** The name is to be given back, as soon as a node can be told. */
  #leaves = false
  #gone: Promise<void> = Promise.resolve()
  #departed = false
  #failure: string | undefined

  constructor(deps: LinkDeps) {
    this.#deps = deps
  }

  get state(): PeerState {
    return this.#state
  }

  /** What the last attempt ended with, for people. */
  get failure(): string | undefined {
    return this.#failure
  }

  async open(): Promise<void> {
    this.#timer?.cancel()
    this.#closing = undefined
    const { open, hello, clock, onError } = this.#deps
    try {
      const greeting = await hello()
      if (this.#state.state === 'closed' || this.#departed) return
      this.#transport = open(greeting, {
        message: (message) => this.#receive(message),
        malformed: ({ code, detail }) => onError(new PeerageError(code, detail)),
        refused: (error) => this.#refused(error),
        closed: (code, why) => this.#lost(code, why),
      })
    } catch (error) {
      // No token could be had, or no socket: a browser throws for `ws:` on a page that came over https.
      this.#failure = error instanceof Error ? error.message : String(error)
      onError(error)
      return this.#again()
    }
    this.#timer = clock.after(limits.handshakeMs, () => {
      this.#failure = 'no welcome came in time'
      this.#drop()
      this.#again()
    })
  }

  /** Tries now instead of after the wait: the network is back. */
  hurry(): void {
    if (this.#state.state === 'reconnecting' && this.#transport === undefined) void this.open()
  }

  /** False: not online. */
  send(message: PeerMessage): boolean {
    return this.#state.state === 'online' && (this.#transport?.send(message) ?? false)
  }

  /** Gives the name back, now or with the next welcome; the node then closes. */
  leave(): void {
    this.#leaves = true
    if (!this.send({ type: 'leave' })) this.hurry()
  }

  close(reason: EndReason = 'closed', detail: string = reason): void {
    if (this.#state.state === 'closed') return
    this.#timer?.cancel()
    this.#drop()
    this.#to({ state: 'closed', reason, detail })
  }

  /**
   * Gives the name back without a word to the application, whose process ends: its promises stay as they are. Writes the
   * leave before it returns, and resolves when the node has read it.
   */
  depart(): Promise<void> {
    this.#departed = true
    this.#timer?.cancel()
    const transport = this.#transport
    this.#transport = undefined
    transport?.send(this.#state.state === 'connecting' ? { type: 'leave', onlyNew: true } : { type: 'leave' })
    return Promise.resolve(transport?.close())
  }

  /** Resolves when the last connection that was closed here is over, and the node has read what was said on it. */
  get gone(): Promise<void> {
    return this.#gone
  }

  // A hello that is not answered yet is taken back, or its name would wait for nobody.
  #drop(): void {
    const transport = this.#transport
    this.#transport = undefined
    if (transport === undefined) return
    if (this.#state.state !== 'online')
      transport.send(this.#leaves ? { type: 'leave' } : { type: 'leave', onlyNew: true })
    this.#gone = Promise.resolve(transport.close())
  }

  #receive(message: NodeMessage): void {
    if (message.type === 'closing') this.#closing = message
    else if (message.type === 'welcome') {
      this.#timer?.cancel()
      this.#onlineAt = this.#deps.clock.now()
      // Set before it is told: what the welcome sets off is sent at once.
      this.#state = { state: 'online', node: message.node }
      this.#deps.onWelcome(message)
      this.#deps.onState(this.#state)
      if (this.#leaves) this.leave()
    } else this.#deps.onMessage(message)
  }

  #refused({ code, detail, retryAfterMs }: ProtocolError): void {
    this.#failure = `${code}: ${detail}`
    if (temporary[code]) this.#again(retryAfterMs)
    else this.close(code, detail)
  }

  #lost(code: number, why = `the connection ended with code ${code}`): void {
    this.#failure = why
    // Said right before the close, for a proxy may replace the close code.
    const said = this.#closing?.reason ?? ''
    const reason = isCloseReason(said) ? said : closeReasonOf(code)
    const mayReturn = mayReconnect(reason === undefined ? code : closeCodes[reason])
    if (mayReturn || (reason === 'token-expired' && this.#deps.renewable))
      this.#again(this.#closing?.retryAfterMs)
    else this.close(reason ?? 'refused', (reason && finalTexts[reason]) ?? `close code ${code}`)
  }

  #again(retryAfterMs?: number): void {
    if (this.#state.state === 'closed') return
    const { clock, random } = this.#deps
    this.#timer?.cancel()
    this.#transport = undefined
    if (clock.now() - this.#onlineAt >= STABLE_MS) this.#attempt = 0
    this.#onlineAt = Infinity
    const delayMs = reconnectDelayMs(this.#attempt++, random(), retryAfterMs)
    this.#timer = clock.after(delayMs, () => void this.open())
    this.#to(this.#state.state === 'connecting' ? this.#state : { state: 'reconnecting', delayMs })
  }

  #to(state: PeerState): void {
    if (this.#state === state) return
    this.#state = state
    this.#deps.onState(state)
  }
}

function isCloseReason(said: string): said is CloseReason {
  return Object.hasOwn(closeCodes, said)
}
