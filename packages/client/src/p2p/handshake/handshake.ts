import type { Timer } from '../../lib/clock.js'
import { makeStreams, watchStreams } from '../channel/streams.js'
import type { Streams } from '../channel/streams.js'
import { stageTexts } from '../connect-error.js'
import type { FailureStage } from '../connect-error.js'
import type { Blank } from '../connections.js'
import type { Terms } from '../options.js'
import { Negotiation, Parting } from './negotiation.js'
import type { NegotiationOptions } from './negotiation.js'
import { endTexts } from './signals.js'
import type { EndReason, HandshakeSignal, Offer } from './signals.js'

export interface HandshakeOptions extends NegotiationOptions {
  /** Random, in every signal of this handshake: what belongs to an older one is told apart by it. */
  id: string
  /** Resolves to a connection that has described nothing yet. Rejects when there is no WebRTC here. */
  prepare: (terms: Terms) => Promise<Blank>
  onEvent: (event: HandshakeEvent) => void
}

export type HandshakeEvent =
  | Opened
  | HandshakeEnd
  /** An application closes a channel that has ended already. */
  | { type: 'unwanted' }

/** At most once, before the end. */
export interface Opened {
  type: 'open'
  negotiation: Negotiation
  streams: Streams
}

/** Once, whether it was open or not. */
export interface HandshakeEnd {
  type: 'end'
  stage: FailureStage
  detail: string
  /** It was open and its path was lost, and neither side wanted that: a new connection may bring it back. */
  lost: boolean
  /** Either application has closed the channel, or what this handshake was to bring back. */
  final: boolean
}

type State =
  /** No connection yet: its turn, the application's answer, or WebRTC is waited for. */
  | { name: 'waiting' }
  /** From the connection to the open streams. `timer` runs once ICE has connected. */
  | { name: 'connecting'; negotiation: Negotiation; timer?: Timer }
  | Open
  /** `parting`: somebody closed what was open, and its connection says goodbye. */
  | { name: 'ended'; parting?: Parting }

/** `timer` runs while the path is silent, or another is looked for. */
type Open = { name: 'open'; negotiation: Negotiation; timer?: Timer; isByeHeard: boolean }

/** Candidates and descriptions across a whole connection, restarts included: more is an attack. */
const REMOTE_MAX = 200
/**
 * Connected, but no channel: a lost DTLS flight is sent again after 1 s and 3 s. What does not open after that (one in
 * six behind symmetric NATs on a loaded machine) opens on a fresh try.
 */
const STUCK_MS = 4_000
/** A path that is silent this long is looked for anew, long before ICE itself gives up after 15 to 30 s. */
const SILENT_MS = 3_000
/** A new path must be found within this, else the channel is closed. */
const RECOVER_MS = 15_000

/** One RTCPeerConnection from its first signal to its end. */
export class Handshake {
  readonly id: string
  readonly #options: HandshakeOptions
  #state: State = { name: 'waiting' }
  #isCaller = false
  /** False once either application has closed the channel: then its end is no loss. */
  #isWanted = true
  #received = 0
  /** Every step that waits for WebRTC runs after the one before it, so candidates cannot overtake descriptions. */
  #steps: Promise<void> = Promise.resolve()

  constructor(options: HandshakeOptions) {
    this.id = options.id
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#state.name === 'open'
  }

  get isWanted(): boolean {
    return this.#isWanted
  }

  /** How far it has come. */
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
      case 'ended':
        return 'ice'
    }
  }

  /** The caller's first step, once it is its `turn`; false: nobody wants that any more. */
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

  /** The callee's first step, once it is known that there is no reason to refuse. */
  answer(offer: Offer, refusal: Promise<EndReason | undefined>): void {
    this.#step(async () => {
      const reason = await refusal
      if (reason !== undefined) return this.end('refused here', 'no-answer', reason)
      await this.#begin(async (negotiation, { connection, streams }) => {
        const answer = await negotiation.answer(offer)
        // libdatachannel answers by itself, and a stream made before that would make it offer instead.
        this.#watch(connection, streams)
        await negotiation.describe(answer)
      })
    })
  }

  /** A later signal of this handshake. */
  receive(signal: HandshakeSignal): void {
    if (signal.type === 'end') {
      if (signal.reason === 'closed') this.#isWanted = false
      return this.#finish(this.stage, endTexts[signal.reason])
    }
    // Counted before it waits for its turn: an application may take its time to accept.
    this.#received += signal.type === 'candidates' ? Math.max(1, signal.candidates.length) : 1
    if (this.#received > REMOTE_MAX) return this.end('too many candidates', 'ice')
    this.#step(async () => {
      if ('negotiation' in this.#state) await this.#state.negotiation.receive(signal)
    })
  }

  /** Looks for a new path now, where the platform can; else the connection ends, so that a new one can be made. */
  recover(): void {
    const state = this.#state
    if (state.name !== 'open' || isConnected(state)) return
    if (!state.negotiation.canRestart) return this.end('the path was lost', 'ice')
    this.#limit(state, RECOVER_MS, () => {
      if (!isConnected(state)) this.end('the path was lost and no other found', 'ice')
    })
    this.#step(() => state.negotiation.restart())
  }

  /** Ends it from this side, and tells the other. Without a detail, it has come no further in time. */
  end(detail?: string, stage: FailureStage = this.stage, reason: EndReason = 'ended'): void {
    const state = this.#state
    if (state.name === 'ended') return
    const told =
      stage === 'not-found'
        ? undefined
        : this.#options.send({ type: 'end', reason: this.#isWanted ? reason : 'closed' })
    const isOpen = state.name === 'open'
    // A closing connection says goodbye where it still can. Heard before the signal, that would pass for the other
    // application's wish, and nobody would look for a new path.
    if (isOpen) void told?.then(() => state.negotiation.connection.close())
    this.#finish(stage, detail ?? stageTexts[stage], isOpen)
  }

  /** Either application closes the channel. */
  unwanted(): void {
    this.#isWanted = false
    if (this.#isEnded) this.#options.onEvent({ type: 'unwanted' })
  }

  /** The other side has said goodbye. */
  heardBye(): void {
    if (this.#state.name === 'open') this.#state.isByeHeard = true
    if (this.#state.name === 'ended') this.#state.parting?.hear()
  }

  /** The channel is over, and nothing was lost. What was open says goodbye over its connection, which stays for that. */
  close(detail: string): Parting | undefined {
    const state = this.#state
    this.#isWanted = false
    const isOpen = state.name === 'open'
    this.#finish(isOpen ? 'ice' : this.stage, detail, isOpen)
    if (!isOpen) return undefined
    const tell = (): void => void this.#options.send({ type: 'end', reason: 'closed' })
    const { connection } = state.negotiation
    const parting = new Parting(this.#options.clock, connection, state.isByeHeard, tell)
    this.#state = { name: 'ended', parting }
    return parting
  }

  get #isEnded(): boolean {
    return this.#state.name === 'ended'
  }

  /** `isKept`: what becomes of the connection is another's matter. */
  #finish(stage: FailureStage, detail: string, isKept = false): void {
    const state = this.#state
    if (state.name === 'ended') return
    this.#state = { name: 'ended' }
    if (state.name !== 'waiting') {
      state.timer?.cancel()
      state.negotiation.close()
      if (!isKept) state.negotiation.connection.close()
    }
    const lost = state.name === 'open' && this.#isWanted
    this.#options.onEvent({ type: 'end', stage, detail, lost, final: !this.#isWanted })
  }

  #step(run: () => void | Promise<void>): void {
    this.#steps = this.#steps
      .then(() => (this.#isEnded ? undefined : run()))
      .catch((error: unknown) => {
        const reason = this.#state.name === 'waiting' ? 'no-webrtc' : 'ended'
        this.end(error instanceof Error ? error.message : String(error), 'ice', reason)
      })
  }

  async #begin(first: (negotiation: Negotiation, blank: Blank) => Promise<void>): Promise<void> {
    const blank = await this.#options.prepare(this.#options.terms)
    const { connection } = blank
    if (this.#isEnded) return connection.close()
    const negotiation = new Negotiation(connection, this.#options)
    this.#state = { name: 'connecting', negotiation }
    connection.addEventListener('iceconnectionstatechange', () => this.#onStateChange(connection))
    connection.addEventListener('connectionstatechange', () => this.#onStateChange(connection))
    await first(negotiation, blank)
  }

  #watch(connection: RTCPeerConnection, ahead: Streams | undefined): void {
    const streams = ahead ?? makeStreams(connection, this.#options.terms, this.#options.clock)
    watchStreams(streams, {
      onOpen: () => this.#onOpen(streams),
      onClose: () => this.#onClose(),
      onStall: () => this.end('the path takes nothing any more', 'ice'),
    })
  }

  /** May come before setRemoteDescription has resolved: ICE and DTLS do not wait for that. */
  #onOpen(streams: Streams): void {
    if (this.#state.name !== 'connecting') return
    const { negotiation, timer } = this.#state
    timer?.cancel()
    this.#state = { name: 'open', negotiation, isByeHeard: false }
    this.#options.onEvent({ type: 'open', negotiation, streams })
  }

  /** A stack has closed it. Who wants a channel closed says goodbye before: without that, its path was lost. */
  #onClose(): void {
    const state = this.#state
    if (state.name === 'ended') return state.parting?.close()
    if (state.name === 'open' && this.#isWanted) return this.end('the path was lost', 'ice')
    this.#finish(this.stage, 'closed by the other peer')
  }

  #onStateChange({ connectionState, iceConnectionState }: RTCPeerConnection): void {
    const state = this.#state
    if (state.name === 'connecting') {
      if (connectionState === 'failed' || connectionState === 'closed')
        this.end(`the connection ${connectionState}: ${stageTexts[this.stage]}`)
      else if (this.#isCaller && iceConnectionState === 'connected')
        state.timer ??= this.#options.clock.after(STUCK_MS, () => this.end())
    }
    if (state.name !== 'open') return
    // Not each stack closes the streams as well.
    if (connectionState === 'closed') this.#onClose()
    if (connectionState === 'failed') this.recover()
    if (connectionState === 'disconnected') this.#limit(state, SILENT_MS, () => this.recover())
    if (connectionState === 'connected') state.timer?.cancel()
  }

  /** The path of what is open has so long. */
  #limit(state: Open, ms: number, late: () => void): void {
    state.timer?.cancel()
    state.timer = this.#options.clock.after(ms, late)
  }
}

const isConnected = ({ negotiation }: Open): boolean => negotiation.connection.connectionState === 'connected'
