import type { Timer } from '../../lib/clock.js'
import { makeStreams, watchStreams } from '../channel/streams.js'
import type { Streams } from '../channel/streams.js'
import type { FailureStage } from '../connect-error.js'
import type { FreshConnection } from '../connections.js'
import type { HandshakeOptions } from './events.js'
import { Negotiation, Goodbye } from './negotiation.js'
import { endTexts } from './signals.js'
import type { EndReason, HandshakeSignal, Offer } from './signals.js'
import { Verification } from './verification.js'

type State =
  /** There is no connection yet. The handshake waits for its turn, for the application's answer, or for WebRTC. */
  | { name: 'waiting' }
  /** From the new connection to the open streams. `timer` runs once ICE has connected. */
  | { name: 'connecting'; negotiation: Negotiation; timer?: Timer }
  | Verifying
  | Open
  /** `goodbye`: one side closed the open channel, and the connection stays open until both have said goodbye. */
  | { name: 'ended'; goodbye?: Goodbye }

/** The streams are open, and the two sides verify each other. */
type Verifying = { name: 'verifying'; negotiation: Negotiation; verification: Verification }

/** `timer` runs while the path is silent, or while ICE looks for another. */
type Open = { name: 'open'; negotiation: Negotiation; timer?: Timer; isByeHeard: boolean }

/** How many candidates and descriptions one connection accepts, ICE restarts included. More is an attack (PP2, PP4). */
const REMOTE_MAX = 200
/**
 * How long a channel may take to open after ICE has connected (PP11). DTLS sends a lost flight again after 1 s and 3 s. A
 * channel that is not open then (one in six behind symmetric NATs on a loaded machine) opens on a second try.
 */
const STUCK_MS = 4_000
/** After this long without a reply we look for a new path. ICE itself gives up only after 15 to 30 s. */
const SILENT_MS = 3_000
/** How long ICE may look for a new path before the channel is closed. */
const RECOVER_MS = 15_000

/** One RTCPeerConnection, from its first signal to its end. */
export class Handshake {
  readonly id: string
  readonly #options: HandshakeOptions
  #state: State = { name: 'waiting' }
  #isCaller = false
  #isClosedForGood = false
  #received = 0
  /** The steps that wait for WebRTC run one after another, so candidates cannot overtake descriptions. */
  #steps: Promise<void> = Promise.resolve()

  constructor(options: HandshakeOptions) {
    this.id = options.id
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#state.name === 'open'
  }

  /** Whether the connection works, so that it does not need the nodes. */
  get hasPath(): boolean {
    return this.isOpen || this.#state.name === 'verifying'
  }

  /** True once either side has closed the channel on purpose. Then its end is not a loss. */
  get isClosedForGood(): boolean {
    return this.#isClosedForGood
  }

  /** How far the handshake has come. */
  get stage(): FailureStage {
    const state = this.#state
    switch (state.name) {
      case 'waiting':
        return 'no-answer'
      case 'connecting':
      case 'open': {
        if (!state.negotiation.isAnswered) return 'no-answer'
        const { iceConnectionState: ice, connectionState } = state.negotiation.connection
        if (ice !== 'connected' && ice !== 'completed') return 'ice'
        return connectionState === 'connected' ? 'timeout' : 'dtls'
      }
      case 'verifying':
        return 'not-verified'
      case 'ended':
        return 'ice'
    }
  }

  /** The caller's first step. It waits for `turn`, which resolves to false if no caller wants the channel any more. */
  offer(turn: () => Promise<boolean>): void {
    this.#isCaller = true
    this.#step(async () => {
      if (!(await turn())) return
      await this.#begin(async (negotiation, { connection, streams, offer }) => {
        this.#watch(connection, streams)
        await negotiation.describe(offer ?? (await connection.createOffer()))
      })
    })
  }

  /** The callee's first step. It waits until `refusal` says whether to refuse the offer. */
  answer(offer: Offer, refusal: Promise<EndReason | undefined>): void {
    this.#step(async () => {
      const reason = await refusal
      if (reason !== undefined) return this.end('refused here', 'no-answer', reason)
      await this.#begin(async (negotiation, { connection, streams }) => {
        const answer = await negotiation.answer(offer)
        // libdatachannel makes the answer by itself. If a stream existed before that, it would make an offer instead.
        this.#watch(connection, streams)
        await negotiation.describe(answer)
      })
    })
  }

  /** Takes a later signal of this handshake. */
  receive(signal: HandshakeSignal): void {
    if (signal.type === 'end') {
      const isUnverified = signal.reason === 'not-verified'
      // A channel that the other side does not verify would end in the same way each time that it is reopened.
      if (signal.reason === 'closed' || (isUnverified && this.isOpen)) this.#isClosedForGood = true
      return this.#finish(isUnverified ? 'not-verified' : this.stage, endTexts[signal.reason])
    }
    // We count a signal on arrival, because while the application decides about a call, signals could pile up.
    this.#received += signal.type === 'candidates' ? Math.max(1, signal.candidates.length) : 1
    if (this.#received > REMOTE_MAX) return this.end('too many candidates', 'ice')
    this.#step(async () => {
      if ('negotiation' in this.#state) await this.#state.negotiation.receive(signal)
    })
  }

  /** Restarts ICE to find a new path. If one side cannot do that, ends the handshake, so that the caller calls again. */
  recover(): void {
    const state = this.#state
    if (state.name !== 'open' || isConnected(state)) return
    if (!state.negotiation.canRestart) return this.end('the path was lost', 'ice')
    this.#limit(state, RECOVER_MS, () => {
      if (!isConnected(state)) this.end('the path was lost, and no other was found', 'ice')
    })
    this.#step(() => state.negotiation.restart())
  }

  /** Ends the handshake from this side, and tells the other side. The default detail is the text of the stage. */
  end(detail?: string, stage: FailureStage = this.stage, reason: EndReason = reasonOf(stage)): void {
    const state = this.#state
    if (state.name === 'ended') return
    const told =
      stage === 'not-found'
        ? undefined
        : this.#options.send({ type: 'end', reason: this.#isClosedForGood ? 'closed' : reason })
    if (stage === 'not-verified' && state.name === 'open') this.#isClosedForGood = true
    const isOpen = state.name === 'open' || state.name === 'verifying'
    // When a connection closes, its stack tells the other side if it still can. So we close it after the signal has
    // arrived: the other side must learn the reason from the signal, and look for a new path.
    if (isOpen) void told?.then(() => state.negotiation.connection.close())
    this.#finish(stage, detail ?? this.#options.texts[stage], isOpen)
  }

  /** Notes that one of the two applications is closing the channel. */
  markClosed(): void {
    this.#isClosedForGood = true
    if (this.#isEnded) this.#options.onEvent({ type: 'closed-for-good' })
  }

  /** Notes that the other side has said goodbye. */
  heardBye(): void {
    if (this.#state.name === 'open') this.#state.isByeHeard = true
    if (this.#state.name === 'ended') this.#state.goodbye?.heardBye()
  }

  /** Ends on purpose. If a channel was open, its connection stays open for the goodbye, which is returned. */
  close(detail: string): Goodbye | undefined {
    const state = this.#state
    this.#isClosedForGood = true
    const isOpen = state.name === 'open'
    this.#finish(isOpen ? 'ice' : this.stage, detail, isOpen)
    if (!isOpen) return undefined
    const tell = (): void => void this.#options.send({ type: 'end', reason: 'closed' })
    const { connection } = state.negotiation
    const goodbye = new Goodbye(this.#options.clock, connection, state.isByeHeard, tell)
    this.#state = { name: 'ended', goodbye }
    return goodbye
  }

  get #isEnded(): boolean {
    return this.#state.name === 'ended'
  }

  /** `keepConnection`: the caller closes the connection later. */
  #finish(stage: FailureStage, detail: string, keepConnection = false): void {
    const state = this.#state
    if (state.name === 'ended') return
    this.#state = { name: 'ended' }
    if (state.name !== 'waiting') {
      if (state.name === 'verifying') state.verification.end(detail)
      else state.timer?.cancel()
      state.negotiation.close()
      if (!keepConnection) state.negotiation.connection.close()
    }
    const forGood = this.#isClosedForGood
    const lost = state.name === 'open' && !forGood
    this.#options.onEvent({ type: 'end', stage, detail, lost, forGood })
  }

  #step(run: () => void | Promise<void>): void {
    this.#steps = this.#steps
      .then(() => (this.#isEnded ? undefined : run()))
      .catch((error: unknown) => {
        const reason = this.#state.name === 'waiting' ? 'no-webrtc' : 'ended'
        this.end(error instanceof Error ? error.message : String(error), 'ice', reason)
      })
  }

  async #begin(first: (negotiation: Negotiation, fresh: FreshConnection) => Promise<void>): Promise<void> {
    const fresh = await this.#options.prepare(this.#options.terms)
    const { connection } = fresh
    if (this.#isEnded) return connection.close()
    const negotiation = new Negotiation(connection, this.#options)
    this.#state = { name: 'connecting', negotiation }
    connection.addEventListener('iceconnectionstatechange', () => this.#onStateChange(connection))
    connection.addEventListener('connectionstatechange', () => this.#onStateChange(connection))
    await first(negotiation, fresh)
  }

  #watch(connection: RTCPeerConnection, ahead: Streams | undefined): void {
    const streams = ahead ?? makeStreams(connection, this.#options.terms, this.#options.clock)
    watchStreams(streams, {
      onOpen: () => this.#onOpen(streams),
      onClose: () => this.#onClose(),
      onStall: () => this.end('the path stopped carrying data', 'ice'),
      onFlood: () => this.end('the other peer sent too much before the channel was open'),
    })
  }

  /** The streams may open before setRemoteDescription resolves, because ICE and DTLS do not wait for that. */
  #onOpen(streams: Streams): void {
    if (this.#state.name !== 'connecting') return
    const { negotiation, timer } = this.#state
    timer?.cancel()
    const { verifier, terms } = this.#options
    if (verifier === undefined) return this.#open(negotiation, streams)
    const verification = new Verification(verifier, {
      handshake: this.id,
      label: terms.label,
      isCaller: this.#isCaller,
      fingerprints: negotiation.fingerprints,
      frames: streams.frames,
      onDone: (problem) => {
        if (problem === undefined) this.#open(negotiation, streams)
        else this.end(problem, 'not-verified')
      },
    })
    this.#state = { name: 'verifying', negotiation, verification }
  }

  #open(negotiation: Negotiation, streams: Streams): void {
    this.#state = { name: 'open', negotiation, isByeHeard: false }
    this.#options.onEvent({ type: 'open', negotiation, streams })
  }

  /** The stack has closed a stream. An SDK says goodbye before it closes, so without a goodbye the path was lost. */
  #onClose(): void {
    const state = this.#state
    if (state.name === 'ended') return state.goodbye?.close()
    // A side that refuses the verification says so by a signal before it closes.
    if (state.name === 'verifying' || (state.name === 'open' && !this.#isClosedForGood))
      return this.end('the path was lost', 'ice')
    this.#finish(this.stage, 'closed by the other peer')
  }

  #onStateChange({ connectionState, iceConnectionState }: RTCPeerConnection): void {
    const state = this.#state
    if (state.name === 'verifying' && (connectionState === 'failed' || connectionState === 'closed'))
      this.end('the path was lost', 'ice')
    if (state.name === 'connecting') {
      if (connectionState === 'failed' || connectionState === 'closed')
        this.end(`the connection ${connectionState}: ${this.#options.texts[this.stage]}`)
      else if (this.#isCaller && iceConnectionState === 'connected')
        state.timer ??= this.#options.clock.after(STUCK_MS, () => this.end())
    }
    if (state.name !== 'open') return
    // Some stacks do not close the streams when the connection closes.
    if (connectionState === 'closed') this.#onClose()
    if (connectionState === 'failed') this.recover()
    if (connectionState === 'disconnected') this.#limit(state, SILENT_MS, () => this.recover())
    if (connectionState === 'connected') state.timer?.cancel()
  }

  /** Calls `late` if the open channel's path is not back within `ms`. */
  #limit(state: Open, ms: number, late: () => void): void {
    state.timer?.cancel()
    state.timer = this.#options.clock.after(ms, late)
  }
}

const reasonOf = (stage: FailureStage): EndReason => (stage === 'not-verified' ? stage : 'ended')

const isConnected = ({ negotiation }: Open): boolean => negotiation.connection.connectionState === 'connected'
