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
import { P2P_EVENTS } from './controls.js'
import type { P2P, P2PEvents } from './controls.js'
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
import { CLOSED, checkP2PServer, hasServer } from './options.js'
import type { ChannelOptions, Outcome, P2PContext, P2POptions, Terms } from './options.js'
import { Pair } from './pair.js'
import type { PairEvent, PairOptions, Tried } from './pair.js'

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

/** The P2P controller of a peer. */
class Controller implements P2P {
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

  get p2pServer(): string | null {
    return this.#setting ?? this.#context.welcome.p2p.server
  }

  set p2pServer(_address: string | null) {
    throw new Error('p2pServer cannot be changed after connecting: pass it to connect()')
  }

  get channels(): Channel[] {
    return [...this.#pairs.values()].flatMap((pair) => pair.channel ?? [])
  }

  channel(peer: string, label = ''): Channel | undefined {
    check('peer', peer, aText)
    check('label', label, aText)
    return this.#pairs.get(keyOf(peer, label))?.channel
  }

  busy(peer: string, label = ''): boolean | null {
    return this.channel(peer, label)?.busy ?? null
  }

  on<K extends keyof P2PEvents>(event: K, listener: (...args: P2PEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

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

  async diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
    checkOptions(options, diagnoseKinds)
    const { PeerConnection, iceServers } = await this.#connections.setup()
    const make = (configuration: RTCConfiguration): RTCPeerConnection =>
      newConnection(PeerConnection, configuration)
    return diagnose(iceServers, make, this.#context.clock, options)
  }

  /** It is here. */
  async load(): Promise<void> {}

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

/** Makes the controller of a peer that has a server for P2P. */
export function makeP2P(
  context: P2PContext,
  setting: string | null | undefined,
  options: P2POptions = {},
): P2P {
  return new Controller(context, setting, options)
}

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
  if (options !== false && hasServer(context, setting)) return makeP2P(context, setting, options)
  const calls = new CallLimits(context)
  context.signaling.onSignal(({ from, handshake, body }) => {
    if (decodeSignal(body)?.type === 'offer') calls.refuse(from, handshake, 'refused')
  })
  return null
}
