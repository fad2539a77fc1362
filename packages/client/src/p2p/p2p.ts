import type { Name } from '@peerage/protocol'
import type { Channel } from './channel/channel.js'
import type { FailureStage } from './connect-error.js'
import { aFlag, aSignal, aText, aTime, check, checkOptions, textUpTo, wholeUpTo } from '../lib/check.js'
import type { Kinds } from '../lib/check.js'
import { abortError } from '../lib/abort.js'
import { ConnectError } from './connect-error.js'
import { Connections } from './connections.js'
import type { DiagnoseOptions, Diagnosis } from './diagnose.js'
import { diagnose } from './diagnose.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import type { EndReason, Terms } from './handshake/handshake-signal.js'
import {
  DEADLINE_MS,
  LABEL_MAX_LENGTH,
  RETRANSMITS_MAX,
  decodeSignal,
  isWithinRate,
  refuse,
} from './handshake/handshake-signal.js'
import { IceServers } from './ice-servers.js'
import { nameOrThrow } from '../lib/names.js'
import { p2pServerOf } from './p2p-server.js'
import { CallPace } from './offer-rate.js'
import { onLeave } from '../platform/leaving.js'
import { onPageEvent } from '../platform/page.js'
import type { Offer, Outcome, PairDeps } from './pair-deps.js'
import { Pair } from './pair.js'
import type { AnyPeerConnectionClass } from './handshake/rtc.js'
import { givenClass, newConnection } from './handshake/rtc.js'
import type { P2PContext, Signal, Stay } from '../delivery/signaling.js'

export interface P2POptions {
  /** Who may open a channel to this peer; everyone, when absent. Peers that this one calls may. */
  accept?: ((from: Name) => boolean | Promise<boolean>) | undefined
  /**
   * Only through TURN: no address of this peer is shown to another, nor a direct path tried. Where that cannot be kept,
   * without a TURN server or with node-datachannel, `connect` fails at once, and who calls is refused.
   */
  relayOnly?: boolean | undefined
  /** When calling, shows this peer's addresses only after the other side accepted. Costs one round trip. */
  holdCandidates?: boolean | undefined
  /** Where the platform has none of its own: node-datachannel is found without it. */
  RTCPeerConnection?: AnyPeerConnectionClass | undefined
}

export interface ChannelOptions {
  signal?: AbortSignal | undefined
  /** Milliseconds until the attempt has failed; 15,000 by default. */
  deadlineMs?: number | undefined
  /** Each label is a channel of its own, with its own connection; '' by default. At most 128 characters. */
  label?: string | undefined
  /** True by default. */
  ordered?: boolean | undefined
  /** How often a lost message is sent again; until it arrives, when absent. */
  maxRetransmits?: number | undefined
}

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

/** Incoming handshakes at once, and labels of one peer: each is a connection with sockets of its own. */
const INCOMING_MAX = 32
const LABELS_MAX = 8
/** Closed channels that are remembered. */
const FINAL_MAX = 256

const CLOSED = 'this peer, or its `p2p`, was closed; `connect` of the SDK makes a new peer'

/** The P2P controller: channels to other peers. Null on a peer where P2P is disabled. */
export class P2P {
  readonly #context: P2PContext
  readonly #options: P2POptions
  readonly #setting: string | null | undefined
  readonly #ice: IceServers
  readonly #connections: Connections
  readonly #pace: CallPace
  readonly #events: Emitter<P2PEvents>
  readonly #pairs = new Map<string, Pair>()
  readonly #stops: (() => void)[]
  /** The handshakes whose channels an application closed last. A lost one's caller may not know. */
  readonly #final = new Set<string>()
  #closed = false
  /** That every call is refused. */
  #told = false
  #heard: Promise<unknown> = Promise.resolve()

  constructor(context: P2PContext, setting: string | null | undefined, options: P2POptions) {
    this.#context = context
    this.#options = options
    this.#setting = setting
    this.#events = new Emitter(P2P_EVENTS, (error) => context.onError(error, 'listener'))
    this.#pace = new CallPace(context.clock)
    this.#ice = new IceServers(context, setting)
    this.#connections = new Connections(context, this.#ice, options)
    this.#stops = [
      context.signaling.onSignal((signal) => this.#receive(signal)),
      context.onClosed(() => void this.close()),
      onPageEvent('online', () => this.#pairs.forEach((pair) => pair.recover())),
      // Else the others would look for it for half a minute.
      onLeave(() => this.#pairs.forEach((pair) => void pair.close('the page was left', true))),
      () => this.#connections.close(),
      () => this.#ice.close(),
    ]
  }

  /** The P2P server in use as host:port; null: TURN alone. */
  get p2pServer(): string | null {
    return p2pServerOf(this.#setting, this.#context.welcome.p2p)
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
    const PeerConnection =
      givenClass(this.#options.RTCPeerConnection) ?? (await this.#context.platform.findPeerConnection())
    const servers = await this.#ice.current()
    return diagnose(
      servers,
      (configuration) => newConnection(PeerConnection, configuration),
      this.#context.clock,
      options,
    )
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
    const known = this.#pairs.get(key)
    if (known) return known
    const pair = new Pair(to, terms, this.#depsOf(key))
    this.#pairs.set(key, pair)
    return pair
  }

  #depsOf(key: string): PairDeps {
    const { relayOnly = false, holdCandidates = false } = this.#options
    return {
      context: this.#context,
      relayOnly,
      holdCandidates,
      turn: (to, isWanted) => this.#pace.turn(to, isWanted),
      prepare: (terms) => this.#connections.take(terms),
      refusal: (from) => this.#refusal(from),
      onOpen: (channel) => this.#events.emit('channel-opened', channel),
      onClose: (channel, reason) => {
        this.#events.emit('channel-closed', channel, reason)
        if (this.channels.length === 0) this.#events.emit('all-channels-closed')
      },
      onFail: (error) => this.#events.emit('connect-failed', error),
      onOutcome: (outcome) => this.#events.emit('outcome', outcome),
      onFinal: (handshake) => {
        this.#final.add(handshake)
        for (const oldest of this.#final) if (this.#final.size > FINAL_MAX) this.#final.delete(oldest)
        for (const pair of this.#pairs.values()) pair.giveUp(handshake)
      },
      onIdle: () => this.#pairs.delete(key),
    }
  }

  async #refusal(from: Name): Promise<EndReason | undefined> {
    try {
      const problem = await this.#connections.problem()
      if (problem !== undefined) return this.#refuseFor(problem)
      const { accept } = this.#options
      if (accept === undefined) return undefined
      const answer: unknown = await accept(from)
      // One that forgot to return has said nothing, and so not yes.
      check('what `accept` returns', answer, aFlag)
      return answer === true ? undefined : 'refused'
    } catch (error) {
      this.#context.onError(error)
      return 'refused'
    }
  }

  /** Told once: a stranger must not fill the application's log. */
  #refuseFor(problem: string): EndReason {
    if (!this.#told) this.#context.onError(new Error(`a peer called and was refused: ${problem}`))
    this.#told = true
    return 'relay-only'
  }

  #receive({ from, handshake, body }: Signal): void {
    const signal = decodeSignal(body)
    for (const pair of this.#pairs.values())
      if (pair.to === from.name && pair.has(handshake)) {
        // Each is answered. A restart that is not ends at the other side, which calls again.
        if (signal?.type === 'offer' && !isWithinRate(this.#context, from)) return
        return pair.receive(from, signal)
      }
    if (signal?.type === 'offer') return this.#offered(from, handshake, signal)
    // Tells a peer that still waits for a handshake that has ended here, or that sent what no one can read.
    if (signal?.type !== 'end' && signal?.type !== 'candidates')
      refuse(this.#context, from, handshake, 'ended')
  }

  #offered(from: Stay, handshake: string, offer: Offer): void {
    const pairs = [...this.#pairs.values()]
    const { resumes } = offer
    if (resumes !== undefined && (this.#final.has(resumes) || pairs.some((pair) => pair.isClosing(resumes))))
      return refuse(this.#context, from, handshake, 'closed')
    const incoming = pairs.filter((pair) => pair.isIncoming)
    const labels = pairs.filter((pair) => pair.to === from.name && pair.label !== offer.label)
    const isFull = incoming.length >= INCOMING_MAX
    const surplus = isFull ? surplusOf(incoming, from.name) : undefined
    if (labels.length >= LABELS_MAX) return refuse(this.#context, from, handshake, 'refused')
    if (isFull && !surplus) return refuse(this.#context, from, handshake, 'busy')
    if (!isWithinRate(this.#context, from)) return
    void surplus?.close('too many handshakes at once')
    this.#pair(from.name, offer).offered(from, handshake, offer)
  }
}

// A few strangers who begin and never finish must not keep all others out: the oldest of who has most under way.
function surplusOf(incoming: Pair[], from: Name): Pair | undefined {
  const counts = new Map<Name, number>()
  for (const { to } of incoming) counts.set(to, (counts.get(to) ?? 0) + 1)
  const most = Math.max(...counts.values())
  if (most <= (counts.get(from) ?? 0) + 1) return undefined
  return incoming.find(({ to, isCalled }) => counts.get(to) === most && !isCalled)
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
  const { p2p } = context.welcome
  const server = p2pServerOf(setting, p2p)
  if (options !== false && (server !== null || p2p.turn !== null)) return new P2P(context, setting, options)
  context.signaling.onSignal(({ from, handshake, body }) => {
    if (decodeSignal(body)?.type === 'offer') refuse(context, from, handshake, 'refused')
  })
  return null
}
