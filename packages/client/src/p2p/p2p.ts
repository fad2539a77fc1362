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

// A type, not an interface: the emitter asks for an index signature.
export type P2PEvents = {
  'channel-opened': [channel: Channel]
  'channel-closed': [channel: Channel, reason: string]
  'connect-failed': [error: ConnectError]
  'all-channels-closed': []
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

/** Closed channels that are remembered. */
const FINAL_MAX = 256
const CLOSED = 'this peer, or its `p2p`, was closed; `connect` of the SDK makes a new peer'

/** The P2P controller: channels to other peers. Null on a peer where P2P is disabled. */
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
  /** The handshakes whose channels an application closed last. A lost one's caller may not know. */
  readonly #final = new Set<string>()
  #closed = false
  #toldRefusal = false
  #heard: Promise<unknown> = Promise.resolve()

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
      isFinal: (handshake) => this.#isFinal(handshake),
      onEvent: (event) => this.#onEvent(event),
    }
    this.#stops = [
      context.signaling.onSignal((signal) => this.#receive(signal)),
      context.onClosed(() => void this.close()),
      onPageEvent('online', () => this.#pairs.forEach((pair) => pair.handshake?.recover())),
      // Else the others would look for it for half a minute.
      onLeave(() => this.#pairs.forEach((pair) => void pair.close('the page was left', true))),
      () => this.#connections.close(),
    ]
  }

  /** The P2P server in use as host:port; null: TURN alone. */
  get p2pServer(): string | null {
    return this.#setting ?? this.#context.welcome.p2p.server
  }

  /** @throws always: it is a setting of connect() */
  set p2pServer(_address: string | null) {
    throw new Error('p2pServer cannot be changed after connecting: give it to connect()')
  }

  /** Every open channel. */
  get channels(): Channel[] {
    return [...this.#pairs.values()].flatMap((pair) => pair.channel ?? [])
  }

  channel(peer: string, label = ''): Channel | undefined {
    check('peer', peer, aText)
    check('label', label, aText)
    return this.#pairs.get(keyOf(peer, label))?.channel
  }

  /** Whether the channel has more to send than it has room for; null: there is no channel. */
  busy(peer: string, label = ''): boolean | null {
    return this.channel(peer, label)?.busy ?? null
  }

  on<K extends keyof P2PEvents>(event: K, listener: (...args: P2PEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /**
   * The channel to a peer: the open one, else the one of the attempt under way, else of a new attempt.
   * @throws ConnectError when it failed, the signal's reason when aborted, a PeerageError `bad-name` for what is no name,
   * or `closed` after `close` or `leave` here, or a TypeError for a wrong option
   */
  async connect(to: string, options: ChannelOptions = {}): Promise<Channel> {
    checkOptions(options, channelKinds)
    const { signal, deadlineMs = DEADLINE_MS, label = '', ordered = true, maxRetransmits } = options
    if (signal?.aborted) throw abortError(signal)
    const name = nameOrThrow(to, 'to')
    if (this.#closed) throw new PeerageError('closed', CLOSED)
    if (name === this.#context.self.name) return this.#fail(name, 'that is this peer')
    if (this.#options.relayOnly) {
      // Last, for it may ask the node.
      const problem = await this.#connections.problem()
      if (problem !== undefined) return this.#fail(name, problem, 'ice')
      if (signal?.aborted) throw abortError(signal)
      if (this.#closed) throw new PeerageError('closed', CLOSED)
    }
    return this.#pair(name, { label, ordered, maxRetransmits }).join(deadlineMs, signal)
  }

  /**
   * What stands in the way of direct channels: how this peer's NAT maps, whether STUN and TURN answer, what to do.
   * @throws the signal's reason when aborted, or when there is no WebRTC here
   */
  async diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
    checkOptions(options, diagnoseKinds)
    const { PeerConnection, iceServers } = await this.#connections.found()
    const make = (configuration: RTCConfiguration): RTCPeerConnection =>
      newConnection(PeerConnection, configuration)
    return diagnose(iceServers, make, this.#context.clock, options)
  }

  /** Closes every channel and ends every attempt, at once. Resolves when the other sides know, or after 2 s. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#heard = Promise.all(
        Array.from(this.#pairs.values(), (pair) => pair.close('this peer was closed')),
      )
      for (const stop of this.#stops) stop()
    }
    await this.#heard
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
      case 'final':
        this.#final.add(event.handshake)
        for (const oldest of this.#final) if (this.#final.size > FINAL_MAX) this.#final.delete(oldest)
        for (const pair of this.#pairs.values()) pair.giveUp(event.handshake)
        return
      case 'idle':
        this.#pairs.delete(keyOf(event.pair.to, event.pair.label))
    }
  }

  #report({ isCaller, ...tried }: Tried, result: Pick<Outcome, 'path' | 'stage'>): void {
    const outcome = { ...tried, ...result }
    this.#events.emit('outcome', outcome)
    const { peer: _, ms, ...report } = outcome
    // The caller speaks for both, so that nothing is counted twice.
    if (isCaller) this.#context.report({ ...report, ms: Math.min(Math.round(ms), limits.reportMs) })
  }

  async #refusal(from: Name): Promise<EndReason | undefined> {
    try {
      const problem = await this.#connections.problem()
      if (problem !== undefined) {
        // Told once: a stranger must not fill the application's log.
        if (!this.#toldRefusal) this.#context.onError(new Error(`a peer called and was refused: ${problem}`))
        this.#toldRefusal = true
        return 'relay-only'
      }
      const { accept } = this.#options
      const answer: unknown = accept === undefined || (await accept(from))
      // One that forgot to return has said nothing, and so not yes.
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
        // Each is answered. A restart that is not ends at the other side, which calls again.
        if (signal?.type === 'offer' && !this.#limits.isWithinRate(from)) return
        return pair.receive(from, signal)
      }
    if (signal?.type === 'offer') return this.#offered({ from, id, offer: signal })
    // Tells a peer that still waits for a handshake that has ended here, or that sent what no one can read.
    if (signal?.type !== 'end' && signal?.type !== 'candidates') this.#limits.refuse(from, id, 'ended')
  }

  #offered(call: Call): void {
    const { from, id, offer } = call
    if (offer.resumes !== undefined && this.#isFinal(offer.resumes))
      return this.#limits.refuse(from, id, 'closed')
    const room = roomFor(call, [...this.#pairs.values()])
    if (typeof room === 'string') return this.#limits.refuse(from, id, room)
    if (!this.#limits.isWithinRate(from)) return
    void room.surplus?.close('too many handshakes at once')
    this.#pair(from.name, offer).offered(call)
  }

  /** Whether an application has closed the channel of this handshake, or is about to. */
  #isFinal(id: string): boolean {
    if (this.#final.has(id)) return true
    return [...this.#pairs.values()].some(({ handshake }) => handshake?.id === id && !handshake.isWanted)
  }
}

const keyOf = (peer: string, label: string): string => `${label}\n${peer}`

/**
 * The controller, or null: switched off, or no P2P server anywhere. Then offers are refused at once.
 * @throws TypeError when the setting is not host:port
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
