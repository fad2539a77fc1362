import type {
  App,
  Hello,
  Name,
  NodeMessageOf,
  PeerMessage,
  PeerMessageOf,
  TurnCredentials,
} from '@peerage/protocol'
import { PROTOCOL_VERSION } from '@peerage/protocol'
import { decodeBody, fits } from '../delivery/body.js'
import { aText, check } from '../lib/check.js'
import type { Clock } from '../lib/clock.js'
import { Delivery } from '../delivery/delivery.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import type { Ground } from '../platform/platform.js'
import type { Identity } from './identity.js'
import { randomText } from './identity.js'
import { Link } from './link.js'
import type { FailedAttempt, LaterMessage, PeerState } from './link.js'
import type { Outgoing } from '../delivery/line.js'
import { Requests } from './requests.js'
import type { Answer } from './requests.js'
import type { P2PContext } from '../p2p/options.js'
import type { Carrier, SendResult, Signal, Signaling, Stay } from '../delivery/signaling.js'
import type { OpenTransport } from './transport.js'
import type { Presence } from './watches.js'
import { Watches } from './watches.js'

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

type Internals = {
  signal: [signal: Signal]
  room: [message: NodeMessageOf<'changed' | 'said'>]
  welcome: []
  closed: []
  retry: [failed: FailedAttempt]
}

const PEER_EVENTS = { message: true, state: true, presence: true, error: true } as const
const INTERNALS = { signal: true, room: true, welcome: true, closed: true, retry: true } as const

export interface SessionDeps {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  open: OpenTransport
  ground: Ground
  identity: Identity
  app?: App | undefined
  name?: Name | undefined
  /** A function is asked before each attempt to connect, so what it makes is renewable. */
  token?: string | (() => string | Promise<string>) | undefined
  /** The stay is about to end: it has given back what it gives back when the promise has resolved. */
  ending?: ((end: Promise<void>) => void) | undefined
}

/** Until the first welcome says otherwise. */
const DEADLINE_MS = 30_000
/** The longest deadline of a send. */
const DEADLINE_MOST_MS = 5 * 60_000
/** `leave` waits so long for the node's answer before it closes anyway. */
const LEAVE_MS = 2_000
/** An idle stream is remembered so long: over any deadline. */
const STREAM_MS = DEADLINE_MOST_MS

/** One stay on the tier, over all its connections: what the public face and the P2P controller stand on. */
export class Session implements P2PContext {
  readonly events = new Emitter<PeerEvents>(PEER_EVENTS, (error, event) => this.#listenerFailed(error, event))
  readonly link: Link
  readonly watches: Watches
  readonly carriers: Delivery
  readonly signaling: Signaling
  readonly clock: Clock
  readonly ground: Ground
  readonly #internal = new Emitter<Internals>(INTERNALS, (error, event) =>
    this.onError(error, event === 'retry' ? 'listener' : undefined),
  )
  readonly #deps: SessionDeps
  readonly #requests: Requests
  readonly #server: Carrier
  #welcome: NodeMessageOf<'welcome'> | undefined

  constructor(deps: SessionDeps) {
    const { clock, random, open, identity, token } = deps
    this.#deps = deps
    this.clock = clock
    this.ground = deps.ground
    this.link = new Link({
      clock,
      random,
      open,
      hello: () => this.#hello(),
      renewable: typeof token === 'function',
      onWelcome: (welcome) => this.#onWelcome(welcome),
      onMessage: (message) => this.#onMessage(message),
      onState: (state) => this.#onState(state),
      onRetry: (failed) => this.#internal.emit('retry', failed),
      onError: (error) => this.#fail(error, 'hello'),
    })
    const send = (frame: PeerMessage): boolean => this.link.send(frame)
    this.#server = { send }
    this.#requests = new Requests(clock, send)
    this.watches = new Watches(clock, this.#requests, send, (presence, news) => {
      if (news) this.events.emit('presence', presence)
      this.carriers.outbox.presence(presence.name, presence.state)
    })
    this.carriers = new Delivery({
      clock,
      random,
      server: this.#server,
      seen: identity.seen,
      streamMs: STREAM_MS,
      streamId: () => randomText(8),
      self: () => this.self,
      listens: (kind) => (kind === 'signal' ? this.#internal.has('signal') : this.events.has('message')),
      hand: (message) => this.#hand(message),
      save: () => identity.save(),
      lookup: async (name) => {
        const answer = await this.lookup([name])
        return answer.ok && answer.message.type === 'found' ? answer.message.peers[0] : undefined
      },
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

  get self(): Stay {
    return this.welcome
  }

  onWelcome(listener: () => void): () => void {
    return this.#internal.on('welcome', listener)
  }

  onRoom(listener: (message: NodeMessageOf<'changed' | 'said'>) => void): () => void {
    return this.#internal.on('room', listener)
  }

  ask(frameOf: (id: number) => PeerMessage, signal?: AbortSignal): Promise<Answer> {
    return this.#requests.ask(frameOf, signal)
  }

  /** Called whenever an attempt to connect has failed and another one will be made. */
  onRetry(listener: (failed: FailedAttempt) => unknown): () => void {
    return this.#internal.on('retry', listener)
  }

  onClosed(listener: () => void): () => void {
    return this.#internal.on('closed', listener)
  }

  onError(error: unknown, stage?: 'listener'): void {
    if (stage) this.#listenerFailed(error)
    else this.#fail(error, 'p2p')
  }

  async requestTurn(): Promise<TurnCredentials | null | undefined> {
    const answer = await this.#requests.ask((id) => ({ type: 'ice', id }))
    return answer.ok && answer.message.type === 'ice' ? answer.message.turn : undefined
  }

  report(report: Omit<PeerMessageOf<'report'>, 'type'>): void {
    this.link.send({ type: 'report', ...report })
  }

  send(message: Omit<Outgoing, 'deadlineMs'> & { deadlineMs?: number | undefined }): Promise<SendResult> {
    const deadlineMs = Math.min(
      message.deadlineMs ?? this.#welcome?.deadlineMs ?? DEADLINE_MS,
      DEADLINE_MOST_MS,
    )
    return this.carriers.outbox.send({ ...message, deadlineMs })
  }

  lookup(names: Name[], signal?: AbortSignal): Promise<Answer> {
    return this.#requests.ask((id) => ({ type: 'lookup', id, names }), signal)
  }

  /** Connects; resolves at the first welcome. Rejects with why there will be none. */
  open(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (finish: () => void) => (): void => {
        offWelcome()
        offClosed()
        signal.removeEventListener('abort', onAbort)
        finish()
      }
      const offWelcome = this.onWelcome(end(resolve))
      const offClosed = this.onClosed(
        end(() => {
          if (this.link.state.state === 'closed') reject(this.link.failure)
        }),
      )
      const onAbort = end(() => {
        reject(signal.reason)
        this.link.close()
      })
      if (signal.aborted) return onAbort()
      signal.addEventListener('abort', onAbort)
      void this.link.open()
    })
  }

  /** Gives the name back, and ends. Resolves when the node has said so, or after 2 s. */
  leave(): Promise<void> {
    const { link, clock } = this
    if (link.state.state === 'closed') return Promise.resolve()
    const left = new Promise<void>((resolve) => {
      const timer = clock.after(LEAVE_MS, () => link.close('left'))
      this.onClosed(() => {
        timer.cancel()
        resolve()
      })
    })
    this.#deps.ending?.(left)
    this.carriers.inbox.flush()
    link.leave()
    return left
  }

  async #hello(): Promise<Hello> {
    const { identity, app, name = this.#welcome?.name ?? identity.name, token } = this.#deps
    const hello: Hello = { v: PROTOCOL_VERSION, secret: identity.secret }
    if (app !== undefined) hello.app = app
    if (name !== undefined) hello.name = name
    if (token !== undefined) {
      hello.token = typeof token === 'function' ? await token() : token
      check('what `token` returns', hello.token, aText)
    }
    return hello
  }

  #onWelcome(welcome: NodeMessageOf<'welcome'>): void {
    this.#welcome = welcome
    this.#deps.identity.keep(welcome.name, () => this.carriers.inbox.seen())
    this.#requests.online()
    this.watches.online()
    this.carriers.outbox.online()
    this.#internal.emit('welcome')
  }

  #onState(state: PeerState): void {
    if (state.state === 'closed') {
      this.#requests.close()
      this.watches.close()
      this.carriers.close()
      // A name that was given back, or that somebody else holds, is no use to the next load of the page.
      this.#deps.identity.close(state.reason === 'left' || state.reason === 'name-taken')
      this.#deps.ending?.(this.link.gone)
      this.#internal.emit('closed')
      this.#tellEnd(state)
    }
    this.events.emit('state', state)
  }

  #onMessage(message: LaterMessage): void {
    switch (message.type) {
      case 'message':
        return this.carriers.inbox.receive(message, this.#server)
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
      case 'roomed':
      case 'done':
        this.#requests.answer(message)
        return
      case 'error':
        if (!this.#requests.answer(message))
          this.#fail(new PeerageError(message.code, message.detail), 'node')
    }
  }

  /** False: nobody can read it, and its sender hears so [D19]. */
  #hand(message: NodeMessageOf<'message'>): boolean {
    const { from, since, kind, body, handshake = '' } = message
    if (kind === 'signal') {
      this.#internal.emit('signal', { from: { name: from, since }, handshake, body })
      return true
    }
    const read = this.read(from, body)
    if (read !== undefined) this.events.emit('message', from, read.data, { since })
    return read !== undefined
  }

  /** What a peer sent; undefined: no SDK encodes such, and the application has been told. */
  read(from: Name, body: string): { data: unknown } | undefined {
    try {
      return { data: decodeBody(body) }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      this.#fail(
        new PeerageError('incompatible', `what ${from} sent cannot be read: ${why}`, { cause }),
        'body',
      )
      return undefined
    }
  }

  /** An end that the tier has made and nobody listens for is not kept quiet. Before the welcome `connect` rejects. */
  #tellEnd({ reason, detail }: PeerState & { state: 'closed' }): void {
    if (this.#welcome === undefined || reason === 'closed' || reason === 'left' || this.events.has('state'))
      return
    console.error(`Peerage: the peer ${this.#welcome.name} is closed for good (${reason}): ${detail}`)
  }

  #fail(error: unknown, stage: ErrorStage): void {
    this.events.emit('error', error, stage)
  }

  /** Without an `error` listener, or from one, it goes to the console: an uncaught one would end a Node process. */
  #listenerFailed(error: unknown, event?: keyof PeerEvents): void {
    if (event !== 'error' && this.events.has('error')) this.#fail(error, 'listener')
    else console.error(error)
  }
}
