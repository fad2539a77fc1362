import type { Clock, Timer } from '../../lib/clock.js'
import type { Terms } from '../options.js'
import { fingerprintOf } from './fingerprint.js'
import type { HandshakeSignal, Offer } from './signals.js'
import { CANDIDATES_MAX, answerTo, isCandidate, messageBytesMaxOf, ownDescription } from './signals.js'

// The use that a handshake makes of its connection: it negotiates while the connection is open, and ends it by a goodbye.

export interface NegotiationOptions {
  /** True: this side is the polite peer, which gives way when both offer at once. Both sides compare the names. */
  polite: boolean
  terms: Terms
  /** The id of the handshake whose channel was lost, if this handshake is to reopen the channel. */
  resumes?: string | undefined
  clock: Clock
  /** True: this peer sends relayed candidates only. */
  relayOnly: boolean
  /** True: the caller sends its candidates after the answer, so a peer that refuses learns no address. */
  holdCandidates: boolean
  /** Resolves when the signal is delivered, or can no longer be. */
  send: (signal: HandshakeSignal) => Promise<void>
}

/** Perfect negotiation and trickle ICE on one connection. The caller must await each step before it begins the next. */
export class Negotiation {
  readonly connection: RTCPeerConnection
  readonly #options: NegotiationOptions
  readonly #own: OwnCandidates
  /** The addresses in the other side's host candidates. */
  readonly hosts = new Set<string>()
  /** Remote candidates that came before the first remote description. WebRTC refuses candidates until then. */
  #early: string[] | undefined = []
  /** True once this side's first description was sent. Candidates wait for it. */
  #described = false
  #held: boolean
  /** The last offer of either side. The answer to it is compared with it. */
  #offer = ''
  /** True: the other side's last offer lost the glare, so the candidates that follow it are ignored. */
  #ignores = false
  #theirRestart = false
  /** The fingerprints in the first description of each side. */
  #ownFingerprint: string | undefined
  #theirFingerprint: string | undefined
  #messageBytesMax: number | undefined
  #closed = false

  constructor(connection: RTCPeerConnection, options: NegotiationOptions) {
    this.connection = connection
    this.#options = options
    this.#own = new OwnCandidates(options.relayOnly)
    this.#held = options.holdCandidates
    connection.addEventListener('icecandidate', ({ candidate }) => this.#keep(candidate?.candidate))
  }

  /** Whether a description of the other side has arrived. */
  get isAnswered(): boolean {
    return this.#messageBytesMax !== undefined
  }

  /** Whether both sides can restart ICE. */
  get canRestart(): boolean {
    return this.#theirRestart && canRestart(this.connection)
  }

  /** The SHA-256 of both certificates, as 64 lower-case hex digits. Undefined: a stack has not named exactly one. */
  get fingerprints(): { local: string; remote: string } | undefined {
    const [local, remote] = [this.#ownFingerprint, this.#theirFingerprint]
    return local === undefined || remote === undefined ? undefined : { local, remote }
  }

  /** The largest message that both stacks carry, in bytes. Some stacks do not name their own limit. */
  get messageBytesMax(): number {
    const own = this.connection.sctp?.maxMessageSize
    return Math.min(this.#messageBytesMax ?? Infinity, typeof own === 'number' && own > 0 ? own : Infinity)
  }

  /** Sends a description of this side and sets it. Both take time, so they run at once. */
  async describe(description: RTCSessionDescriptionInit): Promise<void> {
    if (this.#closed) return
    const { terms, resumes, send } = this.#options
    const set = this.connection.setLocalDescription(description)
    const own = ownDescription(description.sdp)
    this.#ownFingerprint ??= fingerprintOf(own)
    const restart = canRestart(this.connection)
    if (description.type === 'offer') {
      this.#offer = own
      void send({ type: 'offer', sdp: own, restart, ...terms, resumes })
    } else void send({ type: 'answer', sdp: answerTo(this.#offer, own), restart })
    this.#described = true
    await set
    this.#flush()
  }

  /** Accepts the first offer of the other side. Returns the answer, which the caller passes to `describe`. */
  async answer(offer: Offer): Promise<RTCSessionDescriptionInit> {
    this.#held = false
    // WebRTC queues the two operations itself, so calling both at once saves time.
    const [, answer] = await Promise.all([this.#accept(offer), this.connection.createAnswer()])
    return answer
  }

  /** Takes a signal that arrives after this side's first description. */
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

  /** Restarts ICE to find another path. */
  async restart(): Promise<void> {
    const connection = this.connection
    if (connection.signalingState !== 'stable') return
    this.#own.restart()
    connection.restartIce()
    await this.describe(await connection.createOffer())
  }

  /** From now on this side sends no signals. */
  close(): void {
    this.#closed = true
  }

  async #accept({ type, sdp, restart }: Extract<HandshakeSignal, { sdp: string }>): Promise<void> {
    const fingerprint = fingerprintOf(sdp)
    // Otherwise a description that comes after the verification could name another certificate [PP42].
    if (this.isAnswered && fingerprint !== this.#theirFingerprint)
      throw new Error('the other peer changed its certificate')
    this.#theirFingerprint = fingerprint
    // Set before the wait below. If the connection fails during it, the call counts as answered and is tried again.
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

  /** Candidates found in one turn of the event loop are sent in one signal. */
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

/** Browsers can restart ICE; libdatachannel cannot. */
const canRestart = (connection: RTCPeerConnection): boolean => typeof connection.restartIce === 'function'

/** More host candidates would leave no room for the reflexive and relayed ones (PP2: at most 20 in a list). */
const HOST_CANDIDATES_MAX = 12

/** The candidates of this side that the other side may know, until they are sent. */
export class OwnCandidates {
  readonly #relayOnly: boolean
  #waiting: string[] = []
  #sent = 0

  constructor(relayOnly: boolean) {
    this.#relayOnly = relayOnly
  }

  /** Keeps a candidate that may be sent. Returns how many wait now, or 0 if it was not kept. */
  keep(line: string): number {
    const isRelay = line.includes(' typ relay')
    const most = line.includes(' typ host') ? HOST_CANDIDATES_MAX : CANDIDATES_MAX
    const isAllowed = isCandidate(line) && (isRelay || !this.#relayOnly)
    if (!isAllowed || this.#sent + this.#waiting.length >= most) return 0
    // The `raddr` of a relayed candidate is this peer's own address (RFC 8839 §5.1), which relay-only must hide.
    return this.#waiting.push(isRelay ? line.replace(/ raddr \S+ rport \d+/, ' raddr 0.0.0.0 rport 0') : line)
  }

  take(): string[] {
    this.#sent += this.#waiting.length
    return this.#waiting.splice(0)
  }

  /** ICE restarts, so the count starts again. Candidates that were not sent yet are useless now. */
  restart(): void {
    this.#sent = 0
    this.#waiting = []
  }
}

/** How long the connection stays open after both goodbyes, so that SCTP can send a lost packet of ours again. */
const AFTER_BOTH_MS = 500
/** How long we wait for the other side's goodbye. Then it is still busy receiving, or it is gone. */
const WAIT_MS = 2_000

/**
 * Keeps the connection of an ended channel open until both sides have said goodbye. We do not rely on the stack's own
 * close, because other stacks may miss it: Chromium misses 1 in 8 of node-datachannel's, and noticed werift's after 24 s.
 */
export class Goodbye {
  /** Resolves when the other side has been told of the end, or cannot be told over this connection. */
  readonly done: Promise<void>
  readonly #clock: Clock
  readonly #connection: RTCPeerConnection
  #resolve: () => void = () => undefined
  #timer: Timer | undefined

  /** `isHeard`: the other side has said goodbye already. `tell` tells it of the end through the nodes. */
  constructor(clock: Clock, connection: RTCPeerConnection, isHeard: boolean, tell: () => void) {
    this.#clock = clock
    this.#connection = connection
    this.done = new Promise((resolve) => (this.#resolve = resolve))
    if (isHeard) this.heardBye()
    else this.#wait(tell)
  }

  #wait(tell: () => void): void {
    const isConnected = (): boolean => this.#connection.connectionState === 'connected'
    // Without a path our goodbye may arrive late or never.
    if (!isConnected()) tell()
    this.#timer = this.#clock.after(WAIT_MS, () => {
      if (isConnected()) tell()
      this.close()
    })
  }

  /** Notes that the other side has said goodbye. */
  heardBye(): void {
    this.#resolve()
    this.#timer?.cancel()
    this.#timer = this.#clock.after(AFTER_BOTH_MS, () => this.close())
  }

  /** Closes the connection now, whether the goodbyes arrived or not. */
  close(): void {
    this.#timer?.cancel()
    this.#connection.close()
    this.#resolve()
  }
}
