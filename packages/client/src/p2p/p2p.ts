import type { Name } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import type { Signal } from '../delivery/signaling.js'
import { abortError } from '../lib/abort.js'
import { aFlag, aSignal, aText, aTime, check, checkOptions, textUpTo, wholeUpTo } from '../lib/check.js'
import type { Kinds } from '../lib/check.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import { nameOrThrow } from '../lib/names.js'
import { OF_OWN, Rates } from '../lib/rates.js'
import { onLeave } from '../platform/leaving.js'
import { onPageEvent } from '../platform/page.js'
import type { Channel } from './channel/channel.js'
import { ConnectError } from './connect-error.js'
import type { FailureStage } from './connect-error.js'
import { Connections, IceServers, newConnection } from './connections.js'
import { diagnose } from './diagnose.js'
import type { DiagnoseOptions, Diagnosis } from './diagnose.js'
import {
  CallLimits,
  DEADLINE_MS,
  LABEL_MAX_LENGTH,
  RETRANSMITS_MAX,
  decodeSignal,
  roomFor,
} from './handshake/signals.js'
import type { Call, EndReason } from './handshake/signals.js'
import { checkP2PServer } from './options.js'
import type { ChannelOptions, Outcome, P2PContext, P2POptions, Terms } from './options.js'
import { Pair } from './pair.js'
import type { PairEvent, PairOptions, Tried } from './pair.js'

// This is a type and not an interface because the emitter needs an index signature.
/** The events of `peer.p2p`. Each value is the list of arguments of the event's listeners. */
export type P2PEvents = {
  /** A channel has opened, whichever side called. */
  'channel-opened': [channel: Channel]
  /** A channel has closed. The reason is text for people. */
  'channel-closed': [channel: Channel, reason: string]
  /** A call of this peer has failed, or the SDK could not reopen a lost channel. `connect` rejects with the same error. */
  'connect-failed': [error: ConnectError]
  /** A channel has closed, and no other channel is open. */
  'all-channels-closed': []
  /** A call of this peer has opened a channel or failed, or a call of another peer has opened a channel. */
  outcome: [outcome: Outcome]
}

const P2P_EVENTS = {
  'channel-opened': true,
  'channel-closed': true,
  'connect-failed': true,
  'all-channels-closed': true,
  outcome: true,
} as const

const channelKinds: Kinds<ChannelOptions> = {
  signal: aSignal,
  deadlineMs: aTime,
  label: textUpTo(LABEL_MAX_LENGTH),
  ordered: aFlag,
  maxRetransmits: wholeUpTo(RETRANSMITS_MAX),
}
const diagnoseKinds: Kinds<DiagnoseOptions> = { timeoutMs: aTime, signal: aSignal }

/** How many handshakes with closed channels the controller remembers. */
const CLOSED_MAX = 256
const CLOSED = 'this peer, or its `p2p`, was closed; `connect` of the SDK makes a new peer'

/**
 * The P2P controller, `peer.p2p`: it opens channels (WebRTC data channels) to other peers, and accepts theirs.
 * `peer.p2p` is null if P2P is disabled.
 * @example
 * const channel = await peer.p2p.connect('bob')
 * channel.on('message', (data) => console.log('bob says', data))
 * await channel.send('hello')
 * @example
 * // The other side:
 * peer.p2p.on('channel-opened', (channel) => {
 *   channel.on('message', (data) => channel.send(`you said ${data}`))
 * })
 */
export class P2P {
  readonly #context: P2PContext
  readonly #options: P2POptions
  readonly #setting: string | null | undefined
  readonly #connections: Connections
  readonly #limits: CallLimits
  readonly #events: Emitter<P2PEvents>
  readonly #pairs = new Map<string, Pair>()
  readonly #pairOptions: PairOptions
  readonly #stops: (() => void)[]
  /** The latest handshakes whose channel either side closed. If the path was lost too, the caller may not know that. */
  readonly #closedForGood = new Set<string>()
  #closed = false
  #hasLoggedRefusal = false
  /** Resolves when the other sides know that this controller is closed. */
  #othersKnow: Promise<unknown> = Promise.resolve()

  /** @internal `connect` makes the controller. */
  constructor(context: P2PContext, setting: string | null | undefined, options: P2POptions) {
    this.#context = context
    this.#options = options
    this.#setting = setting
    this.#events = new Emitter(P2P_EVENTS, (error) => context.onError(error, 'listener'))
    this.#limits = new CallLimits(context)
    this.#connections = new Connections(context, new IceServers(context, setting), options)
    this.#pairOptions = {
      context,
      p2p: options,
      connections: this.#connections,
      calls: new Rates(context.clock, OF_OWN, null),
      refusal: (from) => this.#refusal(from),
      isClosedForGood: (handshake) => this.#isClosedForGood(handshake),
      onEvent: (event) => this.#onEvent(event),
    }
    this.#stops = [
      context.signaling.onSignal((signal) => this.#receive(signal)),
      context.onClosed(() => void this.close()),
      onPageEvent('online', () => this.#pairs.forEach((pair) => pair.handshake?.recover())),
      // Without a goodbye the other peers would look for a new path for half a minute.
      onLeave(() => this.#pairs.forEach((pair) => void pair.close('the page was left', true))),
      () => this.#connections.close(),
    ]
  }

  /**
   * The P2P (STUN) server in use, as host:port: the option `p2pServer` of `connect`, else the server that the node named.
   * Null: only a TURN server is used. Setting it throws an Error (SPEC.md, PP21).
   */
  get p2pServer(): string | null {
    return this.#setting ?? this.#context.welcome.p2p.server
  }

  /** @throws Error always, because the server is an option of connect() */
  set p2pServer(_address: string | null) {
    throw new Error('p2pServer cannot be changed after connecting: pass it to connect()')
  }

  /** All open channels, in no particular order. */
  get channels(): Channel[] {
    return [...this.#pairs.values()].flatMap((pair) => pair.channel ?? [])
  }

  /**
   * Returns the open channel to `peer` with this label, or undefined. It opens no channel.
   * @throws TypeError if an argument is not a string
   */
  channel(peer: string, label = ''): Channel | undefined {
    check('peer', peer, aText)
    check('label', label, aText)
    return this.#pairs.get(keyOf(peer, label))?.channel
  }

  /** Whether `send` of the open channel to `peer` with this label would have to wait. Null: no such channel is open. */
  busy(peer: string, label = ''): boolean | null {
    return this.channel(peer, label)?.busy ?? null
  }

  /**
   * Calls `listener` at each `event`. Returns a function that removes the listener. An error that a listener throws
   * becomes an `error` event of the peer. After `close`, no event comes any more, and a new listener is not an error.
   * @throws TypeError for an event that does not exist
   */
  on<K extends keyof P2PEvents>(event: K, listener: (...args: P2PEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /**
   * Resolves with a channel to the peer named `to`. If a channel with that peer and label is open or being opened, that is
   * the channel (SPEC.md, PP5). The other peer gets the channel by its event `channel-opened`.
   * @throws ConnectError when no channel opened by the deadline. Its `stage` says how far the attempt got.
   * @throws PeerageError `bad-name` if `to` is not a valid name, `closed` if this peer or its `p2p` was closed
   * @throws the signal's reason when the signal aborts
   * @throws TypeError for a wrong option
   * @example
   * const channel = await peer.p2p.connect('bob', { label: 'cursor', ordered: false, maxRetransmits: 0 })
   */
  async connect(to: string, options: ChannelOptions = {}): Promise<Channel> {
    checkOptions(options, channelKinds)
    const { signal, deadlineMs = DEADLINE_MS, label = '', ordered = true, maxRetransmits } = options
    if (signal?.aborted) throw abortError(signal)
    const name = nameOrThrow(to, 'to')
    if (this.#closed) throw new PeerageError('closed', CLOSED)
    if (name === this.#context.self.name) return this.#fail(name, 'a peer cannot open a channel to itself')
    if (this.#options.relayOnly) {
      // This check is the last one because it may send a request to the node.
      const problem = await this.#connections.problem()
      if (problem !== undefined) return this.#fail(name, problem, 'ice')
      if (signal?.aborted) throw abortError(signal)
      if (this.#closed) throw new PeerageError('closed', CLOSED)
    }
    return this.#pair(name, { label, ordered, maxRetransmits }).join(deadlineMs, signal)
  }

  /**
   * Finds out what prevents direct channels: how the NAT maps this peer's address, whether the STUN and TURN servers
   * answer, and what to do (SPEC.md, PP23). Takes up to twice `timeoutMs`.
   * @throws Error if there is no WebRTC here
   * @throws the signal's reason when the signal aborts
   * @example
   * const { mapping, stun, turn, advice } = await peer.p2p.diagnose()
   * for (const sentence of advice) console.log(sentence)
   */
  async diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
    checkOptions(options, diagnoseKinds)
    const { PeerConnection, iceServers } = await this.#connections.setup()
    const make = (configuration: RTCConfiguration): RTCPeerConnection =>
      newConnection(PeerConnection, configuration)
    return diagnose(iceServers, make, this.#context.clock, options)
  }

  /**
   * Closes every channel and ends every attempt at once. A `send` that still waits for room in the buffer rejects with
   * the code `closed`. Afterwards `connect` rejects, and calls of other peers get no answer. Resolves when the other peers
   * have been told, or after 2 s.
   */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#othersKnow = Promise.all(
        Array.from(this.#pairs.values(), (pair) => pair.close('this peer was closed')),
      )
      for (const stop of this.#stops) stop()
    }
    await this.#othersKnow
  }

  #fail(to: Name, detail: string, stage: FailureStage = 'not-found'): never {
    const error = new ConnectError(to, stage, detail)
    this.#events.emit('connect-failed', error)
    throw error
  }

  #pair(to: Name, terms: Terms): Pair {
    const key = keyOf(to, terms.label)
    const pair = this.#pairs.get(key) ?? new Pair(to, terms, this.#pairOptions)
    this.#pairs.set(key, pair)
    return pair
  }

  #onEvent(event: PairEvent): void {
    switch (event.type) {
      case 'opened':
        this.#events.emit('channel-opened', event.channel)
        return void event.channel
          .info()
          .then(({ path }) => this.#report(event.tried, { path }))
          .catch((error: unknown) => this.#context.onError(error))
      case 'failed':
        this.#events.emit('connect-failed', event.error)
        return this.#report(event.tried, { path: 'failed', stage: event.error.stage })
      case 'closed':
        this.#events.emit('channel-closed', event.channel, event.reason)
        if (this.channels.length === 0) this.#events.emit('all-channels-closed')
        return
      case 'closed-for-good':
        this.#remember(event.handshake)
        for (const pair of this.#pairs.values()) pair.giveUp(event.handshake)
        return
      case 'idle':
        this.#pairs.delete(keyOf(event.pair.to, event.pair.label))
    }
  }

  #remember(handshake: string): void {
    const closed = this.#closedForGood
    closed.add(handshake)
    for (const oldest of closed) if (closed.size > CLOSED_MAX) closed.delete(oldest)
  }

  #report({ isCaller, ...tried }: Tried, result: Pick<Outcome, 'path' | 'stage'>): void {
    const outcome = { ...tried, ...result }
    this.#events.emit('outcome', outcome)
    const { peer: _, ms, ...report } = outcome
    // Only the caller reports, so that no handshake is counted twice.
    if (isCaller) this.#context.report({ ...report, ms: Math.min(Math.round(ms), limits.reportMs) })
  }

  async #refusal(from: Name): Promise<EndReason | undefined> {
    try {
      const problem = await this.#connections.problem()
      if (problem !== undefined) {
        // Logged once, so that a stranger cannot fill the application's log.
        if (!this.#hasLoggedRefusal)
          this.#context.onError(new Error(`a peer called and was refused: ${problem}`))
        this.#hasLoggedRefusal = true
        return 'relay-only'
      }
      const { accept } = this.#options
      const answer: unknown = accept === undefined || (await accept(from))
      // A function that forgets to return a value has not accepted.
      check('what `accept` returns', answer, aFlag)
      return answer === true ? undefined : 'refused'
    } catch (error) {
      this.#context.onError(error)
      return 'refused'
    }
  }

  #receive({ from, handshake: id, body }: Signal): void {
    const signal = decodeSignal(body)
    for (const pair of this.#pairs.values())
      if (pair.to === from.name && pair.handshake?.id === id) {
        // Each offer costs an answer. An ICE restart over the rate is ignored; its side then gives up and calls again.
        if (signal?.type === 'offer' && !this.#limits.isWithinRate(from)) return
        return pair.receive(from, signal)
      }
    if (signal?.type === 'offer') return this.#offered({ from, id, offer: signal })
    // The other peer sent a signal that nobody can read, or for a handshake that has ended here: tell it.
    if (signal?.type !== 'end' && signal?.type !== 'candidates') this.#limits.refuse(from, id, 'ended')
  }

  #offered(call: Call): void {
    const { from, id, offer } = call
    if (offer.resumes !== undefined && this.#isClosedForGood(offer.resumes))
      return this.#limits.refuse(from, id, 'closed')
    const room = roomFor(call, [...this.#pairs.values()])
    if (typeof room === 'string') return this.#limits.refuse(from, id, room)
    if (!this.#limits.isWithinRate(from)) return
    void room.evicted?.close('too many handshakes at once')
    this.#pair(from.name, offer).offered(call)
  }

  /** Whether either side has closed the channel of this handshake, or is closing it now. */
  #isClosedForGood(id: string): boolean {
    if (this.#closedForGood.has(id)) return true
    return [...this.#pairs.values()].some(
      ({ handshake }) => handshake?.id === id && handshake.isClosedForGood,
    )
  }
}

const keyOf = (peer: string, label: string): string => `${label}\n${peer}`

/**
 * Makes the controller. Returns null if P2P is switched off, or if there is neither a P2P server nor a TURN server; then
 * every offer is refused at once.
 * @throws TypeError if the setting is not host:port
 */
export function createP2P(
  context: P2PContext,
  setting: string | null | undefined,
  options: P2POptions | false = {},
): P2P | null {
  checkP2PServer(setting)
  const { server, turn } = context.welcome.p2p
  if (options !== false && (setting ?? server ?? turn) !== null) return new P2P(context, setting, options)
  const calls = new CallLimits(context)
  context.signaling.onSignal(({ from, handshake, body }) => {
    if (decodeSignal(body)?.type === 'offer') calls.refuse(from, handshake, 'refused')
  })
  return null
}
