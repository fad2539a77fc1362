import type { Clock, Timer } from '../../lib/clock.js'
import type { Terms } from '../options.js'
import type { HandshakeSignal, Offer } from './signals.js'
import { CANDIDATES_MAX, answerTo, isCandidate, messageBytesMaxOf, ownDescription } from './signals.js'

// What a handshake does over its connection: it negotiates as long as it lives, and parts from it with a goodbye.

export interface NegotiationOptions {
  /** Who gives way when both offer at once: names are compared, so both sides know. */
  polite: boolean
  terms: Terms
  /** The handshake whose channel was lost, where this one is to bring it back. */
  resumes?: string | undefined
  clock: Clock
  /** Only candidates of a TURN server leave this peer. */
  relayOnly: boolean
  /** The caller's candidates wait for the answer, so that who refuses learns no address. */
  holdCandidates: boolean
  /** Resolves when the other side has it, or cannot have it. */
  send: (signal: HandshakeSignal) => Promise<void>
}

/** Perfect negotiation and trickle ICE over one connection. Whoever calls has one step done before the next. */
export class Negotiation {
  readonly connection: RTCPeerConnection
  readonly #options: NegotiationOptions
  readonly #own: OwnCandidates
  /** The addresses that the other side announced as its own. */
  readonly hosts = new Set<string>()
  /** Its candidates that came before the description they belong to; WebRTC refuses them until then. */
  #early: string[] | undefined = []
  /** Descriptions go first: what is found before the first one has left, waits. */
  #described = false
  #held: boolean
  /** The last offer, whoever made it: an answer is read against it. */
  #offer = ''
  /** The last offer lost the glare: the candidates that follow it are for nothing. */
  #ignores = false
  #theirRestart = false
  #messageBytesMax: number | undefined
  #closed = false

  constructor(connection: RTCPeerConnection, options: NegotiationOptions) {
    this.connection = connection
    this.#options = options
    this.#own = new OwnCandidates(options.relayOnly)
    this.#held = options.holdCandidates
    connection.addEventListener('icecandidate', ({ candidate }) => this.#keep(candidate?.candidate))
  }

  /** Whether a description of the other side has come. */
  get isAnswered(): boolean {
    return this.#messageBytesMax !== undefined
  }

  /** Whether both sides can look for another path. */
  get canRestart(): boolean {
    return this.#theirRestart && canRestart(this.connection)
  }

  /** The largest message that both stacks carry; of this one's own bound, not each stack tells. */
  get messageBytesMax(): number {
    const own = this.connection.sctp?.maxMessageSize
    return Math.min(this.#messageBytesMax ?? Infinity, typeof own === 'number' && own > 0 ? own : Infinity)
  }

  /** On its way while this side sets it: both take their time. */
  async describe(description: RTCSessionDescriptionInit): Promise<void> {
    if (this.#closed) return
    const { terms, resumes, send } = this.#options
    const set = this.connection.setLocalDescription(description)
    const own = ownDescription(description.sdp)
    const restart = canRestart(this.connection)
    if (description.type === 'offer') {
      this.#offer = own
      void send({ type: 'offer', sdp: own, restart, ...terms, resumes })
    } else void send({ type: 'answer', sdp: answerTo(this.#offer, own), restart })
    this.#described = true
    await set
    this.#flush()
  }

  /** The first offer, of which this side is the callee; its answer is to be described. */
  async answer(offer: Offer): Promise<RTCSessionDescriptionInit> {
    this.#held = false
    // WebRTC runs one after the other by itself, and loses no time in between.
    const [, answer] = await Promise.all([this.#accept(offer), this.connection.createAnswer()])
    return answer
  }

  /** What comes after the first description of this side. */
  async receive(signal: Exclude<HandshakeSignal, { type: 'end' }>): Promise<void> {
    const connection = this.connection
    if (signal.type === 'candidates') {
      return this.#ignores ? undefined : this.#add(signal.candidates)
    }
    const offered = connection.signalingState === 'have-local-offer'
    if (signal.type === 'answer' && !offered) return
    this.#ignores = signal.type === 'offer' && offered && !this.#options.polite
    if (this.#ignores) return
    await this.#accept(signal)
    if (signal.type === 'offer') {
      this.#own.restart()
      await this.describe(await connection.createAnswer())
    }
    this.#held = false
    this.#flush()
  }

  /** Looks for another path. */
  async restart(): Promise<void> {
    const connection = this.connection
    if (connection.signalingState !== 'stable') return
    this.#own.restart()
    connection.restartIce()
    await this.describe(await connection.createOffer())
  }

  /** Nothing more is said. */
  close(): void {
    this.#closed = true
  }

  async #accept({ type, sdp, restart }: Extract<HandshakeSignal, { sdp: string }>): Promise<void> {
    // At once: what fails from here on, resolved or not, was answered, and may be tried again.
    this.#messageBytesMax = messageBytesMaxOf(sdp)
    this.#theirRestart = restart
    if (type === 'offer') this.#offer = sdp
    await this.connection.setRemoteDescription({
      type,
      sdp: type === 'offer' ? sdp : answerTo(this.#offer, sdp),
    })
    const early = this.#early ?? []
    this.#early = undefined
    await this.#add(early)
  }

  async #add(candidates: string[]): Promise<void> {
    if (this.#early) return void this.#early.push(...candidates)
    for (const candidate of candidates) {
      const address = / (\S+) \d+ typ host/.exec(candidate)?.[1]
      if (address !== undefined) this.hosts.add(address)
      await this.connection.addIceCandidate({ candidate, sdpMLineIndex: 0 })
    }
  }

  /** Candidates found in one turn of the event loop travel together. */
  #keep(line: string | undefined): void {
    if (line === undefined || this.#closed) return
    if (this.#own.keep(line) === 1) this.#options.clock.after(0, () => this.#flush())
  }

  #flush(): void {
    if (this.#closed || !this.#described || this.#held) return
    const candidates = this.#own.take()
    if (candidates.length > 0) void this.#options.send({ type: 'candidates', candidates })
  }
}

/** Browsers can; libdatachannel cannot. */
const canRestart = (connection: RTCPeerConnection): boolean => typeof connection.restartIce === 'function'

/** Host candidates beyond this would crowd out those that pass a NAT. */
const HOST_CANDIDATES_MAX = 12

/** What this side found and the other may know, until it is sent. */
export class OwnCandidates {
  readonly #relayOnly: boolean
  #waiting: string[] = []
  #sent = 0

  constructor(relayOnly: boolean) {
    this.#relayOnly = relayOnly
  }

  /** Keeps a candidate that may leave; how many wait now. */
  keep(line: string): number {
    const isRelay = line.includes(' typ relay')
    const most = line.includes(' typ host') ? HOST_CANDIDATES_MAX : CANDIDATES_MAX
    const isWanted = isCandidate(line) && (isRelay || !this.#relayOnly)
    if (!isWanted || this.#sent + this.#waiting.length >= most) return 0
    // A relayed candidate names the address it was asked from (RFC 8839 §5.1), which is what relay-only hides.
    return this.#waiting.push(isRelay ? line.replace(/ raddr \S+ rport \d+/, ' raddr 0.0.0.0 rport 0') : line)
  }

  take(): string[] {
    this.#sent += this.#waiting.length
    return this.#waiting.splice(0)
  }

  /** ICE begins anew, and with it the count; what was not sent yet is of no use now. */
  restart(): void {
    this.#sent = 0
    this.#waiting = []
  }
}

/** The other side has said goodbye as well: what of ours was lost on the way is sent again within this. */
const HEARD_MS = 500
/** The other side says nothing: it takes what is under way, or it is gone. */
const UNHEARD_MS = 2_000

/**
 * The last moments of a connection whose channel has ended. A stack's own close is not heard by every other one:
 * Chromium misses 1 in 8 of node-datachannel's, and werift's was heard after 24 s. So both sides say goodbye, and the
 * connection stays until that is through.
 */
export class Parting {
  /** Resolves when the other side knows, or cannot be told over this connection. */
  readonly heard: Promise<void>
  readonly #clock: Clock
  readonly #connection: RTCPeerConnection
  #resolve: () => void = () => undefined
  #timer: Timer | undefined

  /** `isHeard`: the other side has said goodbye. `tell`: it is to hear of the end on another way. */
  constructor(clock: Clock, connection: RTCPeerConnection, isHeard: boolean, tell: () => void) {
    this.#clock = clock
    this.#connection = connection
    this.heard = new Promise((resolve) => (this.#resolve = resolve))
    if (isHeard) this.hear()
    else this.#wait(tell)
  }

  #wait(tell: () => void): void {
    const isConnected = (): boolean => this.#connection.connectionState === 'connected'
    // What cannot get through now may get there late.
    if (!isConnected()) tell()
    this.#timer = this.#clock.after(UNHEARD_MS, () => {
      if (isConnected()) tell()
      this.close()
    })
  }

  /** The other side has said goodbye. */
  hear(): void {
    this.#resolve()
    this.#timer?.cancel()
    this.#timer = this.#clock.after(HEARD_MS, () => this.close())
  }

  /** No more time for a goodbye to get through. */
  close(): void {
    this.#timer?.cancel()
    this.#connection.close()
    this.#resolve()
  }
}
