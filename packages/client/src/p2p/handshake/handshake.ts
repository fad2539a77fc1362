import { stageTexts } from '../connect-error.js'
import type { FailureStage } from '../connect-error.js'
import type { Blank } from '../connections.js'
import type { HandshakeOptions } from './handshake-options.js'
import { endTexts } from './handshake-signal.js'
import type { EndReason, HandshakeSignal } from './handshake-signal.js'
import { OwnCandidates } from './own-candidates.js'
import { answerTo, ownDescription } from './description.js'
import { Parting } from './parting.js'
import { PathWatch } from '../channel/path-watch.js'
import { messageBytesMaxOf } from './sdp.js'
import type { Streams } from '../channel/streams.js'
import { makeStreams, watchStreams } from '../channel/streams.js'
import { TheirCandidates } from './their-candidates.js'

/** Candidates and descriptions across a whole connection, restarts included: more is an attack. */
const REMOTE_MAX = 200

/** Browsers can; libdatachannel cannot. */
const canRestart = (connection: RTCPeerConnection): boolean => typeof connection.restartIce === 'function'

/** One RTCPeerConnection from its first signal to its end: perfect negotiation, trickle ICE, restarts. */
export class Handshake {
  readonly id: string
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
  readonly #theirs = new TheirCandidates()
  /** The last offer lost the glare: the candidates that follow it are for nothing. */
  #ignores = false
  #held: boolean
  readonly #watch: PathWatch
  /** False once either application has closed the channel: then its end is no loss. */
  #isWanted = true
  readonly #parting: Parting
  #messageBytesMax = Infinity

  constructor(options: HandshakeOptions) {
    this.id = options.id
    this.#options = options
    this.#held = options.holdCandidates
    this.#found = new OwnCandidates(options.relayOnly)
    this.#watch = new PathWatch(options.clock)
    this.#parting = new Parting(options.clock, () => void options.send({ type: 'end', reason: 'closed' }))
  }

  get connection(): RTCPeerConnection | undefined {
    return this.#connection
  }

  /** The addresses that the other side announced as its own. */
  get hosts(): ReadonlySet<string> {
    return this.#theirs.hosts
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isWanted(): boolean {
    return this.#isWanted
  }

  /** The largest message that both stacks carry; of this one's own bound, not each stack tells. */
  get messageBytesMax(): number {
    const own = this.#connection?.sctp?.maxMessageSize
    return Math.min(this.#messageBytesMax, typeof own === 'number' && own > 0 ? own : Infinity)
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
      if (!(await this.#options.turn(() => !this.#isEnded()))) return
      const { connection, streams, offer } = await this.#start()
      this.#watchStreams(streams ?? makeStreams(connection, this.#options.terms, this.#options.clock))
      await this.#describe(connection, offer ?? (await connection.createOffer()))
    })
  }

  /** The callee's first step, once it is known that there is no reason to refuse. */
  answer(offer: HandshakeSignal & { type: 'offer' }, refusal: Promise<EndReason | undefined>): void {
    this.#held = false
    this.#step(async () => {
      const reason = await refusal
      if (reason !== undefined) return this.end('no-answer', 'refused here', reason)
      const { connection, streams } = await this.#start()
      // WebRTC runs one after the other by itself, and loses no time in between.
      const [, answer] = await Promise.all([this.#accept(connection, offer), connection.createAnswer()])
      // libdatachannel answers by itself, and a stream made before that would make it offer instead.
      this.#watchStreams(streams ?? makeStreams(connection, this.#options.terms, this.#options.clock))
      await this.#describe(connection, answer)
    })
  }

  /** A later signal of this handshake. */
  receive(signal: HandshakeSignal): void {
    if (signal.type === 'end') return this.#onEnd(signal.reason)
    // Counted before it waits for its turn: an application may take its time to accept.
    this.#received += signal.type === 'candidates' ? Math.max(1, signal.candidates.length) : 1
    if (this.#received > REMOTE_MAX) return this.end('ice', 'too many candidates')
    this.#step(async () => {
      const connection = this.#connection
      if (connection === undefined) return
      if (signal.type === 'candidates') {
        if (this.#ignores) return
        return this.#theirs.add(connection, signal.candidates)
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
    this.#watch.recovering(() => {
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
    const told =
      stage === 'not-found'
        ? undefined
        : this.#options.send({ type: 'end', reason: this.#isWanted ? reason : 'closed' })
    // A closing connection says goodbye where it still can. Heard before the signal, that would pass for the other
    // application's wish, and nobody would look for a new path.
    const connection = this.#state === 'open' ? this.#take() : undefined
    void told?.then(() => connection?.close())
    this.#finish(stage, detail)
  }

  #onEnd(reason: EndReason): void {
    if (reason === 'closed') this.#isWanted = false
    this.#finish(this.stage, endTexts[reason])
  }

  /** Either application closes the channel. */
  unwanted(): void {
    this.#isWanted = false
  }

  heardBye(): void {
    this.#parting.hear()
  }

  /**
   * The channel is over, and nothing was lost. Whoever hears of it says goodbye over the connection, which stays for
   * that. Resolves when the other side knows, or after 2 s.
   */
  close(detail: string): Promise<void> {
    const connection = this.#state === 'open' ? this.#take() : undefined
    this.#isWanted = false
    this.#finish(this.stage, detail)
    if (connection) this.#parting.begin(connection)
    return connection ? this.#parting.heard : Promise.resolve()
  }

  /** No time is left for a goodbye to get through. */
  hangUp(): void {
    this.#parting.close()
  }

  /** What becomes of the connection is another's matter now. */
  #take(): RTCPeerConnection | undefined {
    const connection = this.#connection
    this.#connection = undefined
    return connection
  }

  #finish(stage: FailureStage, detail: string): void {
    if (this.#state === 'ended') return
    const lost = this.#state === 'open' && this.#isWanted
    this.#state = 'ended'
    this.#watch.stop()
    this.#connection?.close()
    this.#options.onEnd({ stage, detail, lost, final: !this.#isWanted })
  }

  #step(run: () => void | Promise<void>): void {
    this.#steps = this.#steps
      .then(() => (this.#state === 'ended' ? undefined : run()))
      .catch((error: unknown) => {
        const reason = this.#connection ? 'ended' : 'no-webrtc'
        this.end('ice', error instanceof Error ? error.message : String(error), reason)
      })
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
      onClose: () => this.#onClose(),
      onStall: () => this.end('ice', 'the path takes nothing any more'),
    })
  }

  /** May come before setRemoteDescription has resolved: ICE and DTLS do not wait for that. */
  #onOpen(streams: Streams): void {
    if (this.#isEnded()) return
    this.#state = 'open'
    this.#watch.stop()
    this.#options.onOpen(streams)
  }

  /** A stack has closed it. Who wants a channel closed says goodbye before: without that, its path was lost. */
  #onClose(): void {
    if (this.#state === 'open' && this.#isWanted) return this.end('ice', 'the path was lost')
    this.#parting.close()
    this.#finish(this.stage, 'closed by the other peer')
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
        ? { type: 'offer', sdp, restart, ...this.#options.terms, resumes: this.#options.resumes }
        : { type: 'answer', sdp, restart },
    )
    this.#described = true
    await set
    this.#flush()
  }

  async #accept(connection: RTCPeerConnection, signal: Extract<HandshakeSignal, { sdp: string }>) {
    const { type, sdp, restart } = signal
    this.#canRestart = restart && canRestart(connection)
    this.#messageBytesMax = messageBytesMaxOf(sdp)
    // At once: what fails from here on, resolved or not, was answered, and may be tried again.
    if (this.#state === 'new') this.#state = 'answered'
    if (type === 'offer') this.#offer = sdp
    await connection.setRemoteDescription({ type, sdp: type === 'offer' ? sdp : answerTo(this.#offer, sdp) })
    await this.#theirs.addEarly(connection)
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
      return this.end(this.stage, `the connection ${connectionState}: ${stageTexts[this.stage]}`)
    if (this.#isCaller && iceConnectionState === 'connected')
      this.#watch.opening(() => this.end(this.stage, stageTexts[this.stage]))
  }

  #onPathChange(state: RTCPeerConnectionState): void {
    // Not each stack closes the streams as well.
    if (state === 'closed') return this.#onClose()
    if (state === 'failed') return this.recover()
    if (state === 'disconnected') return this.#watch.silent(() => this.recover())
    if (state === 'connected') this.#watch.stop()
  }
}
