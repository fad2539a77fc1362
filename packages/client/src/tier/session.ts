import type { Hello, NodeMessageOf, PeerMessage, PeerMessageOf, TurnCredentials } from '@peerage/protocol'
import { PROTOCOL_VERSION } from '@peerage/protocol'
import { decodeBody, fits } from '../delivery/body.js'
import { Delivery } from '../delivery/delivery.js'
import type { Outgoing, SendResult, Signal, Signaling, Holder } from '../delivery/signaling.js'
import { onAbort } from '../lib/abort.js'
import { randomText } from '../lib/base64.js'
import type { Clock } from '../lib/clock.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import type { Platform } from '../platform/platform.js'
import { Events } from './events.js'
import type { MessageAbout } from './events.js'
import type { Identity } from './identity.js'
import { Connector } from './connector.js'
import type { FailedAttempt, LaterMessage, PeerState } from './connector.js'
import { Requests } from './requests.js'
import type { P2PContext } from '../p2p/options.js'
import { Tokens } from './tokens.js'
import type { MakeToken } from './tokens.js'
import type { OpenTransport } from './transport.js'
import { Watches } from './watches.js'

type Internals = {
  signal: [signal: Signal]
  room: [message: NodeMessageOf<'changed' | 'said'>]
  welcome: []
  closed: []
  retry: [failed: FailedAttempt]
  'signal-waits': []
}

const INTERNALS = {
  signal: true,
  room: true,
  welcome: true,
  closed: true,
  retry: true,
  'signal-waits': true,
} as const

export interface SessionOptions {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  open: OpenTransport
  platform: Platform
  identity: Identity
  app?: Hello['app']
  name?: Hello['name']
  /** A function is called before each attempt to connect, and before a token ends. */
  token?: string | MakeToken | undefined
  /** Called when the session is about to end. The promise resolves when a node has been told. */
  ending?: ((end: Promise<void>) => void) | undefined
}

/** Used until the first welcome names another deadline. */
const DEADLINE_MS = 30_000
/** The longest deadline of a send, and how long an idle stream is remembered. */
export const DEADLINE_MOST_MS = 5 * 60_000
/** How long `leave` waits for the node's answer before it closes anyway. */
const LEAVE_MS = 2_000

/**
 * One holder of a name, from its claim to its end, over all its connections. Peer and the lazy modules are built on it.
 */
export class Session implements P2PContext {
  readonly events = new Events()
  readonly connector: Connector
  readonly requests: Requests
  readonly watches: Watches
  readonly carriers: Delivery
  readonly signaling: Signaling
  readonly clock: Clock
  readonly platform: Platform
  /** Undefined if the application cannot make another token. */
  readonly tokens: Tokens | undefined
  readonly #internal = new Emitter<Internals>(INTERNALS, (error, event) =>
    this.onError(error, event === 'retry' ? 'listener' : undefined),
  )
  readonly #options: SessionOptions
  #welcome: NodeMessageOf<'welcome'> | undefined

  constructor(options: SessionOptions) {
    const { clock, random, open, identity, token } = options
    this.#options = options
    this.clock = clock
    this.platform = options.platform
    if (typeof token === 'function') this.tokens = new Tokens(token)
    this.connector = new Connector({
      clock,
      random,
      open,
      hello: () => this.#hello(),
      isRenewable: this.tokens !== undefined,
      onWelcome: (welcome) => this.#onWelcome(welcome),
      onMessage: (message) => this.#onMessage(message),
      onState: (state) => this.#onState(state),
      onRetry: (failed) => this.#internal.emit('retry', failed),
      // Before the welcome nobody can listen, and `onRetry` of `connect` gets the error.
      onError: (error) => this.#welcome && this.events.fail(error, 'hello'),
    })
    const send = (frame: PeerMessage): boolean => this.connector.send(frame)
    this.requests = new Requests(clock, send)
    this.watches = new Watches(clock, this.requests, send, (presence, news) => {
      if (news) this.events.emit('presence', presence)
      this.carriers.outbox.presence(presence.name, presence.state)
    })
    this.carriers = new Delivery({
      clock,
      random,
      server: this.connector,
      seen: identity.seen,
      streamMs: DEADLINE_MOST_MS,
      streamId: () => randomText(8),
      self: () => this.self,
      listens: (kind) => (kind === 'signal' ? this.#listensForSignals() : this.events.has('message')),
      hand: (message) => this.#hand(message),
      save: () => identity.save(),
      lookup: (name) => this.watches.lookup(name),
      watch: (name) => void this.watches.watch(name),
      unwatch: (name) => this.watches.unwatch(name),
    })
    this.signaling = {
      send: (to, body, options) =>
        fits(body)
          ? this.send({ to, kind: 'signal', body, via: 'server', ...options })
          : Promise.resolve('too-large'),
      onSignal: (listener) => {
        const off = this.#internal.on('signal', listener)
        this.carriers.inbox.drain()
        return off
      },
    }
  }

  /** Throws before the first welcome. */
  get welcome(): NodeMessageOf<'welcome'> {
    if (this.#welcome === undefined) throw new PeerageError('not-claimed')
    return this.#welcome
  }

  get self(): Holder {
    return this.welcome
  }

  onWelcome(listener: () => void): () => void {
    return this.#internal.on('welcome', listener)
  }

  onRoom(listener: (message: NodeMessageOf<'changed' | 'said'>) => void): () => void {
    return this.#internal.on('room', listener)
  }

  /** The listener is called when an attempt to connect has failed and another one will follow. */
  onRetry(listener: (failed: FailedAttempt) => unknown): () => void {
    return this.#internal.on('retry', listener)
  }

  onClosed(listener: () => void): () => void {
    return this.#internal.on('closed', listener)
  }

  /** The listener is called when a signal arrives that waits, because nobody listens for signals yet. */
  onSignalWaits(listener: () => void): () => void {
    return this.#internal.on('signal-waits', listener)
  }

  onError(error: unknown, stage: 'listener' | 'node' | 'p2p' = 'p2p'): void {
    if (stage === 'listener') this.events.listenerFailed(error)
    else this.events.fail(error, stage)
  }

  async requestTurn(): Promise<TurnCredentials | null | undefined> {
    const answer = await this.requests.ask((id) => ({ type: 'ice', id }))
    return answer.ok && answer.message.type === 'ice' ? answer.message.turn : undefined
  }

  report(report: Omit<PeerMessageOf<'report'>, 'type'>): void {
    this.connector.send({ type: 'report', ...report })
  }

  send(message: Omit<Outgoing, 'deadlineMs'> & { deadlineMs?: number | undefined }): Promise<SendResult> {
    const { deadlineMs = Math.min(this.#welcome?.deadlineMs ?? DEADLINE_MS, DEADLINE_MOST_MS) } = message
    return this.carriers.outbox.send({ ...message, deadlineMs })
  }

  /** Connects. Resolves at the first welcome, or rejects with the reason why there will be none. */
  open(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (finish: () => void) => (): void => {
        for (const stop of stops) stop()
        finish()
      }
      const abort = end(() => {
        reject(signal.reason)
        this.connector.close()
      })
      const stops = [
        this.onWelcome(end(resolve)),
        this.onClosed(end(() => reject(this.connector.failure))),
        onAbort(signal, abort),
      ]
      if (signal.aborted) abort()
      else void this.connector.open()
    })
  }

  /** Gives the name back, and ends. Resolves when the node has confirmed it, or after 2 s. */
  leave(): Promise<void> {
    const { connector, clock } = this
    if (connector.state.state === 'closed') return Promise.resolve()
    const left = new Promise<void>((resolve) => {
      const timer = clock.after(LEAVE_MS, () => connector.close('left'))
      this.onClosed(() => {
        timer.cancel()
        resolve()
      })
    })
    this.#options.ending?.(left)
    this.carriers.inbox.flush()
    connector.leave()
    return left
  }

  async #hello(): Promise<Hello> {
    const { identity, app, name = this.#welcome?.name ?? identity.name, token } = this.#options
    const hello: Hello = { v: PROTOCOL_VERSION, secret: identity.secret }
    if (app !== undefined) hello.app = app
    if (name !== undefined) hello.name = name
    if (this.tokens) hello.token = await this.tokens.forHello()
    else if (typeof token === 'string') hello.token = token
    return hello
  }

  #listensForSignals(): boolean {
    if (this.#internal.has('signal')) return true
    this.#internal.emit('signal-waits')
    return false
  }

  #onWelcome(welcome: NodeMessageOf<'welcome'>): void {
    this.#welcome = welcome
    this.#options.identity.keep(welcome.name, () => this.carriers.inbox.seen())
    this.requests.online()
    this.watches.online()
    this.carriers.outbox.online()
    this.#internal.emit('welcome')
  }

  #onState(state: PeerState): void {
    if (state.state === 'closed') {
      this.requests.close()
      this.watches.close()
      this.carriers.close()
      // If the name was given back, or somebody else holds it, the next load of the page must not ask for it.
      this.#options.identity.close(state.reason === 'left' || state.reason === 'name-taken')
      this.#options.ending?.(this.connector.gone)
      this.#internal.emit('closed')
    }
    this.events.changed(state, this.#welcome?.name)
  }

  #onMessage(message: LaterMessage): void {
    switch (message.type) {
      case 'message':
        return this.carriers.inbox.receive(message, this.connector)
      case 'acked':
        return this.carriers.outbox.acked(message)
      case 'notice':
        return this.carriers.outbox.notice(message)
      case 'presence': {
        const { type: _, ...presence } = message
        return this.watches.heard(presence)
      }
      case 'changed':
      case 'said':
        return this.#internal.emit('room', message)
      case 'found':
      case 'ice':
      case 'renewed':
      case 'roomed':
      case 'done':
        return void this.requests.answer(message)
      case 'error':
        if (!this.requests.answer(message))
          this.events.fail(new PeerageError(message.code, message.detail), 'node')
    }
  }

  /** Returns false if the message cannot be decoded. Its sender is then told [WD19]. */
  #hand(message: NodeMessageOf<'message'>): boolean {
    const { from, since, kind, body, handshake = '' } = message
    if (kind === 'signal') {
      this.#internal.emit('signal', { from: { name: from, since }, handshake, body })
      return true
    }
    const read = this.read(message)
    if (read !== undefined) this.events.emit('message', from, read.data, read.about)
    return read !== undefined
  }

  /** Decodes the body of a message. If that fails, reports an `error` event and returns undefined. */
  read({
    from,
    since,
    body,
    server,
  }: NodeMessageOf<'message' | 'said'>): { data: unknown; about: MessageAbout } | undefined {
    try {
      return { data: decodeBody(body), about: server ? { since, server } : { since } }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      const error = new PeerageError('incompatible', `what ${from} sent cannot be read: ${why}`, { cause })
      this.events.fail(error, 'body')
      return undefined
    }
  }
}
