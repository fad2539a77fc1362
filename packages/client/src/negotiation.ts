import type { Clock, Timer } from './clock.js'
import type { FailureStage } from './connect-error.js'
import type { Blank } from './connections.js'
import type { EndReason, HandshakeSignal, Terms } from './handshake-signal.js'
import { OwnCandidates } from './own-candidates.js'
import { answerTo, ownDescription } from './description.js'
import type { Streams } from './streams.js'
import { makeStreams, watchStreams } from './streams.js'

export interface HandshakeOptions {
  /** Random, in every signal of this handshake: what belongs to an older one is told apart by it. */
  id: string
  /** Who gives way when both offer at once: names are compared, so both sides know. */
  polite: boolean
  terms: Terms
  clock: Clock
  /** Only candidates of a TURN server leave this peer. */
  relayOnly: boolean
  /** The caller's candidates wait for the answer, so that who refuses learns no address. */
  holdCandidates: boolean
  /** Resolves to a connection that has described nothing yet. Rejects when there is no WebRTC here. */
  prepare(terms: Terms): Promise<Blank>
  /** Resolves when the other side has it, or cannot have it. */
  send(signal: HandshakeSignal): Promise<void>
  onOpen(streams: Streams): void
  /** Ends once, whether before it opened or after. */
  onEnd(end: HandshakeEnd): void
}

export interface HandshakeEnd {
  stage: FailureStage
  detail: string
  /** It was open and its path was lost: a new connection may bring it back. */
  lost: boolean
}

/**
 * Connected, but no channel: a lost DTLS flight is sent again after 1 s and 3 s. What does not open after that (one in
 * six behind symmetric NATs on a loaded machine) opens on a fresh try.
 */
const STUCK_MS = 4_000
/** A path that is silent this long is looked for anew, long before ICE itself gives up after 15 to 30 s. */
const SILENT_MS = 3_000
/** A new path must be found within this, else the channel is closed. */
const RECOVER_MS = 15_000
/** Candidates and descriptions across a whole connection, restarts included: more is an attack. */
const REMOTE_MAX = 200

/** Browsers can; libdatachannel cannot. */
const canRestart = (connection: RTCPeerConnection): boolean => typeof connection.restartIce === 'function'

/** One RTCPeerConnection from its first signal to its end: perfect negotiation, trickle ICE, restarts. */
export class Handshake {
  readonly id: string
  /** The addresses that the other side announced as its own. */
  readonly hosts = new Set<string>()
  readonly #options: HandshakeOptions
  #connection: RTCPeerConnection | undefined
  /** Every step that waits for WebRTC runs after the one before it, so candidates cannot overtake descriptions. */
  #steps: Promise<void> = Promise.resolve()
  #state: 'new' | 'answered' | 'open' | 'ended' = 'new'
  #isCaller = false
  /** Descriptions go first: what is found before the first one has left, waits. */
  #described = false
  #canRestart = false
  /** The last offer, whoever made it: an answer is read against it. */
  #offer = ''
  readonly #found: OwnCandidates
  #received = 0
  /** Candidates that came before the description they belong to; WebRTC refuses them until then. */
  #early: string[] = []
  /** The last offer lost the glare: the candidates that follow it are for nothing. */
  #ignores = false
  #held: boolean
  #watchdog: Timer | undefined

  constructor(options: HandshakeOptions) {
    this.id = options.id
    this.#options = options
    this.#held = options.holdCandidates
    this.#found = new OwnCandidates(options.relayOnly)
  }

  get connection(): RTCPeerConnection | undefined {
    return this.#connection
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isAnswered(): boolean {
    return this.#state !== 'new'
  }

  get stage(): FailureStage {
    if (this.#state === 'new') return 'no-answer'
    const ice = this.#connection?.iceConnectionState
    if (ice !== 'connected' && ice !== 'completed') return 'ice'
    return this.#connection?.connectionState === 'connected' ? 'timeout' : 'dtls'
  }

  /** The caller's first step. */
  offer(): void {
    this.#isCaller = true
    this.#step(async () => {
      const { connection, streams, offer } = await this.#start()
      this.#watchStreams(streams ?? makeStreams(connection, this.#options.terms))
      await this.#describe(connection, offer ?? (await connection.createOffer()))
    })
  }

  /** The callee's first step, once `allowed` resolves to true; false ends it as refused. */
  answer(offer: HandshakeSignal & { type: 'offer' }, allowed: Promise<boolean>): void {
    this.#held = false
    this.#step(async () => {
      if (!(await allowed)) return this.end('no-answer', 'refused here', 'refused')
      const { connection, streams } = await this.#start()
      // WebRTC runs one after the other by itself, and loses no time in between.
      const [, answer] = await Promise.all([this.#accept(connection, offer), connection.createAnswer()])
      // libdatachannel answers by itself, and a stream made before that would make it offer instead.
      this.#watchStreams(streams ?? makeStreams(connection, this.#options.terms))
      await this.#describe(connection, answer)
    })
  }

  /** A later signal of this handshake. */
  receive(signal: HandshakeSignal): void {
    if (signal.type === 'end')
      return this.#finish(this.stage, `${signal.reason} by the other peer`, this.#state === 'open')
    // Counted before it waits for its turn: an application may take its time to accept.
    this.#received += signal.type === 'candidates' ? Math.max(1, signal.candidates.length) : 1
    if (this.#received > REMOTE_MAX) return this.end('ice', 'too many candidates')
    this.#step(async () => {
      const connection = this.#connection
      if (connection === undefined) return
      if (signal.type === 'candidates') {
        if (this.#ignores) return
        return this.#addCandidates(connection, signal.candidates)
      }
      const offered = connection.signalingState === 'have-local-offer'
      if (signal.type === 'answer' && !offered) return
      this.#ignores = signal.type === 'offer' && offered && !this.#options.polite
      if (this.#ignores) return
      await this.#accept(connection, signal)
      if (signal.type === 'offer') {
        this.#found.restart()
        await this.#describe(connection, await connection.createAnswer())
      }
      this.#held = false
      this.#flush()
    })
  }

  /** Looks for a new path now, where the platform can; else the connection ends, so that a new one can be made. */
  recover(): void {
    if (this.#state !== 'open' || this.#isConnected) return
    if (!this.#canRestart) return this.end('ice', 'the path was lost')
    this.#watch(RECOVER_MS, () => {
      if (!this.#isConnected) this.end('ice', 'the path was lost and no other found')
    })
    this.#step(async () => {
      const connection = this.#connection
      if (connection?.signalingState !== 'stable') return
      this.#found.restart()
      connection.restartIce()
      await this.#describe(connection, await connection.createOffer())
    })
  }

  get #isConnected(): boolean {
    return this.#connection?.connectionState === 'connected'
  }

  /** Ends it from this side, and tells the other. */
  end(stage: FailureStage, detail: string, reason: EndReason = 'ended'): void {
    if (this.#state === 'ended') return
    const lost = this.#state === 'open'
    const told = stage === 'not-found' ? undefined : this.#options.send({ type: 'end', reason })
    // A closing connection says goodbye where it still can. Heard before the signal, that would pass for the other
    // application's wish, and nobody would look for a new path.
    const connection = lost ? this.#connection : undefined
    if (connection) this.#connection = undefined
    void told?.then(() => connection?.close())
    this.#finish(stage, detail, lost)
  }

  /** The channel is no longer wanted, here or there: nothing was lost. */
  close(detail: string): void {
    this.#finish(this.stage, detail, false)
  }

  /** Ends it in silence: the other side has ended it, or never minded it. */
  drop(): void {
    this.#state = 'ended'
    this.#watchdog?.cancel()
    this.#connection?.close()
  }

  #finish(stage: FailureStage, detail: string, lost: boolean): void {
    if (this.#state === 'ended') return
    this.drop()
    this.#options.onEnd({ stage, detail, lost })
  }

  #step(run: () => void | Promise<void>): void {
    this.#steps = this.#steps
      .then(() => (this.#state === 'ended' ? undefined : run()))
      .catch((error: unknown) => this.end('ice', String(error)))
  }

  async #start(): Promise<Blank> {
    const blank = await this.#options.prepare(this.#options.terms)
    const { connection } = blank
    this.#connection = connection
    if (this.#isEnded()) connection.close()
    connection.addEventListener('icecandidate', ({ candidate }) => this.#keep(candidate?.candidate))
    connection.addEventListener('iceconnectionstatechange', () => this.#onStateChange(connection))
    connection.addEventListener('connectionstatechange', () => this.#onStateChange(connection))
    return blank
  }

  #isEnded(): boolean {
    return this.#state === 'ended'
  }

  #watchStreams(streams: Streams): void {
    watchStreams(streams, {
      onOpen: () => this.#onOpen(streams),
      onClose: () => this.close('closed by the other peer'),
    })
  }

  /** May come before setRemoteDescription has resolved: ICE and DTLS do not wait for that. */
  #onOpen(streams: Streams): void {
    if (this.#isEnded()) return
    this.#state = 'open'
    this.#watchdog?.cancel()
    this.#options.onOpen(streams)
  }

  /** On its way while this side sets it: both take their time. */
  async #describe(connection: RTCPeerConnection, description: RTCSessionDescriptionInit): Promise<void> {
    if (this.#isEnded()) return
    const set = connection.setLocalDescription(description)
    const own = ownDescription(description.sdp)
    const sdp = description.type === 'offer' ? (this.#offer = own) : answerTo(this.#offer, own)
    const restart = canRestart(connection)
    void this.#options.send(
      description.type === 'offer'
        ? { type: 'offer', sdp, restart, ...this.#options.terms }
        : { type: 'answer', sdp, restart },
    )
    this.#described = true
    await set
    this.#flush()
  }

  async #accept(connection: RTCPeerConnection, signal: Extract<HandshakeSignal, { sdp: string }>) {
    const { type, sdp, restart } = signal
    this.#canRestart = restart && canRestart(connection)
    // At once: what fails from here on, resolved or not, was answered, and may be tried again.
    if (this.#state === 'new') this.#state = 'answered'
    if (type === 'offer') this.#offer = sdp
    await connection.setRemoteDescription({ type, sdp: type === 'offer' ? sdp : answerTo(this.#offer, sdp) })
    await this.#addCandidates(connection, this.#early.splice(0))
  }

  async #addCandidates(connection: RTCPeerConnection, candidates: string[]): Promise<void> {
    if (this.#state === 'new') return void this.#early.push(...candidates)
    for (const candidate of candidates) {
      const address = / (\S+) \d+ typ host/.exec(candidate)?.[1]
      if (address !== undefined) this.hosts.add(address)
      await connection.addIceCandidate({ candidate, sdpMLineIndex: 0 })
    }
  }

  /** Candidates found in one turn of the event loop travel together. */
  #keep(line: string | undefined): void {
    if (line === undefined || this.#isEnded()) return
    if (this.#found.keep(line) === 1) this.#options.clock.after(0, () => this.#flush())
  }

  #flush(): void {
    if (this.#isEnded() || !this.#described || this.#held) return
    const candidates = this.#found.take()
    if (candidates.length > 0) void this.#options.send({ type: 'candidates', candidates })
  }

  #onStateChange(connection: RTCPeerConnection): void {
    const { connectionState, iceConnectionState } = connection
    if (this.#state === 'open') return this.#onPathChange(connectionState)
    if (connectionState === 'failed' || connectionState === 'closed')
      return this.end(this.stage, `the connection ${connectionState}`)
    if (this.#isCaller && iceConnectionState === 'connected' && this.#watchdog === undefined)
      this.#watch(STUCK_MS, () => this.end(this.stage, 'connected, but no channel'))
  }

  #onPathChange(state: RTCPeerConnectionState): void {
    if (state === 'failed') return this.recover()
    if (state === 'disconnected') return this.#watch(SILENT_MS, () => this.recover())
    if (state === 'connected') this.#watchdog?.cancel()
  }

  #watch(ms: number, task: () => void): void {
    this.#watchdog?.cancel()
    this.#watchdog = this.#options.clock.after(ms, task)
  }
}
