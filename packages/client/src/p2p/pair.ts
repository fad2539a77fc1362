import type { Name } from '@peerage/protocol'
import type { Stay } from '../delivery/signaling.js'
import type { Timer } from '../lib/clock.js'
import { textOf } from '../lib/error.js'
import type { Rates } from '../lib/rates.js'
import { Waiters } from '../lib/waiters.js'
import { Channel } from './channel/channel.js'
import { ConnectError } from './connect-error.js'
import type { Connections } from './connections.js'
import { Handshake } from './handshake/handshake.js'
import type { HandshakeEnd, HandshakeEvent, Opened } from './handshake/handshake.js'
import { DEADLINE_MS, sendSignal } from './handshake/signals.js'
import type { Call, EndReason, HandshakeSignal } from './handshake/signals.js'
import type { P2PContext, P2POptions, Terms } from './options.js'

/** What all pairs of a controller share. */
export interface PairOptions {
  context: P2PContext
  p2p: Pick<P2POptions, 'relayOnly' | 'holdCandidates'>
  connections: Pick<Connections, 'take'>
  /** This peer stays within the rate of each one that it calls: what is over that meets with silence there. */
  calls: Rates
  /** Why a call of this peer is refused; undefined: it is taken. */
  refusal: (from: Name) => Promise<EndReason | undefined>
  /** Whether an application has closed the channel of this handshake. */
  isFinal: (handshake: string) => boolean
  onEvent: (event: PairEvent) => void
}

export type PairEvent =
  | { type: 'opened'; channel: Channel; tried: Tried }
  | { type: 'failed'; error: ConnectError; tried: Tried }
  | { type: 'closed'; channel: Channel; reason: string }
  /** One of the two applications has closed the channel of this handshake: it is not to be brought back. */
  | { type: 'final'; handshake: string }
  /** Nothing is open or under way any more. */
  | { type: 'idle'; pair: Pair }

/** An attempt's last handshake, and the milliseconds that all of it took. */
export type Tried = { peer: Name; handshake: string; ms: number; isCaller: boolean }

/** From the first call, whoever's, to the open channel or the failure; more than one handshake may be tried. */
interface Attempt {
  readonly startedAt: number
  isRetry?: boolean
  resuming?: Resuming | undefined
  /** Ends what the other side began and does not finish. Until then it goes on, whoever gives up here. */
  limit?: Timer | undefined
}

/** A lost channel is to come back: its handshake, and the way to give that up. */
type Resuming = { id: string; abort: AbortController }

type UnderWay = { handshake: Handshake; attempt: Attempt; from?: Stay }
/** `from` answers. `held`: an offer that lost the glare, in case ours comes to nothing. */
type Calling = UnderWay & { name: 'calling'; held?: Call | undefined }
/** `resumes`: the lost channel that it is to bring back. */
type Answering = UnderWay & { name: 'answering'; resumes: string | undefined }
type Open = { name: 'open'; handshake: Handshake; channel: Channel; isCaller: boolean }
type State = { name: 'idle' } | Calling | Answering | Open

/** In true glare the answer to our offer is on its way; after this, the other side has forgotten our offer. */
const HELD_MS = 2_000

/** This peer and another under one label: who waits, the handshake under way, and the channel it became. */
export class Pair {
  readonly to: Name
  readonly label: string
  readonly #options: PairOptions
  /** Both sides compare the same two names, so exactly one gives way. */
  readonly #isPolite: boolean
  readonly #callers = new Waiters<Channel>()
  #terms: Terms
  #state: State = { name: 'idle' }
  #closed = false

  constructor(to: Name, terms: Terms, options: PairOptions) {
    this.to = to
    this.label = terms.label
    this.#terms = terms
    this.#options = options
    this.#isPolite = options.context.self.name < to
  }

  /** The one under way, or that of the open channel. */
  get handshake(): Handshake | undefined {
    return this.#state.name === 'idle' ? undefined : this.#state.handshake
  }

  get channel(): Channel | undefined {
    return this.#state.name === 'open' ? this.#state.channel : undefined
  }

  get isIncoming(): boolean {
    return 'attempt' in this.#state && this.#state.attempt.limit !== undefined
  }

  /** Whether this side waits for the channel, too. */
  get isCalled(): boolean {
    return this.#callers.size > 0
  }

  /** The channel as soon as there is one, whoever's handshake brings it. `resuming`: it is one that was lost. */
  join(deadlineMs: number, signal: AbortSignal | undefined, resuming?: Resuming): Promise<Channel> {
    // Beyond one that is closing there is a new one to wait for.
    if (this.channel?.isEnding === false) return Promise.resolve(this.channel)
    const aborted = (): void => {
      if ('attempt' in this.#state && !this.isCalled && !this.isIncoming) this.#state.handshake.end('aborted')
    }
    const { clock } = this.#options.context
    const channel = this.#callers.wait(clock, deadlineMs, signal, aborted, (settle) => {
      const state = this.#state
      if (this.#callers.size > 1 || !('attempt' in state))
        return settle(undefined, new ConnectError(this.to, this.handshake?.stage ?? 'timeout'))
      state.attempt.isRetry = true
      if (state.name === 'calling') state.held = undefined
      state.handshake.end()
    })
    if (this.#state.name === 'idle') this.#call({ startedAt: clock.now(), resuming })
    return channel
  }

  /** An offer of the other side: accepted, or held back where it collides with ours. */
  offered(call: Call): void {
    const state = this.#state
    if (state.name !== 'calling' || this.#isPolite) return this.#accept(call)
    state.held = call
    this.#options.context.clock.after(HELD_MS, () => {
      if (this.#state === state && state.held && state.handshake.stage === 'no-answer')
        this.#accept(state.held)
    })
  }

  /** A later signal of the handshake under way; undefined: one that nobody can read. */
  receive(from: Stay, signal: HandshakeSignal | undefined): void {
    if ('attempt' in this.#state) this.#state.from = from
    if (signal) this.handshake?.receive(signal)
    else this.handshake?.end('a malformed signal came')
  }

  /** Resolves when the other side knows, or after 2 s. `leaves`: there is no time to wait for that. */
  async close(reason: string, leaves = false): Promise<void> {
    this.#closed = true
    if (!this.channel) return this.handshake?.end(reason)
    const parting = this.handshake?.close(reason)
    if (leaves) parting?.close()
    return parting?.heard
  }

  /** The lost channel of this handshake is not to come back: what is under way for that ends, unless it is wanted. */
  giveUp(id: string): void {
    if ('attempt' in this.#state && this.#state.attempt.resuming?.id === id) {
      if (this.#callers.size === 1) this.#state.handshake.unwanted()
      this.#state.attempt.resuming.abort.abort()
    }
    const state = this.#state
    if (state.name === 'answering' && state.resumes === id && !this.isCalled)
      state.handshake.end('closed here', state.handshake.stage, 'closed')
  }

  #call(attempt: Attempt): void {
    const handshake = this.#begin(crypto.getRandomValues(new BigUint64Array(1)).join(''), attempt)
    this.#state = { name: 'calling', handshake, attempt }
    handshake.offer(() => this.#options.calls.turn(this.to, () => this.handshake === handshake))
  }

  #begin(id: string, attempt: Attempt): Handshake {
    const { p2p, context, connections } = this.#options
    const handshake: Handshake = new Handshake({
      id,
      relayOnly: p2p.relayOnly ?? false,
      // On the second try nothing reaches us before the answer is in place, so that race cannot come again.
      holdCandidates: p2p.holdCandidates === true || attempt.isRetry === true,
      terms: this.#terms,
      resumes: attempt.resuming?.id,
      polite: this.#isPolite,
      clock: context.clock,
      prepare: (terms) => connections.take(terms),
      send: (signal) => this.#send(handshake, signal),
      onEvent: (event) => this.#onEvent(handshake, event),
    })
    return handshake
  }

  async #send(handshake: Handshake, signal: HandshakeSignal): Promise<void> {
    const result = await sendSignal(this.#options.context, this.to, handshake.id, signal)
    if (result === 'delivered' || handshake.isOpen) return
    const stage = result === 'unavailable' || result === 'incompatible' ? 'not-found' : handshake.stage
    // That of a message that timed out speaks of applications, which hear of no signal.
    handshake.end(result === 'timeout' ? undefined : textOf(result), stage)
  }

  #accept({ from, id, offer }: Call, attempt?: Attempt): void {
    const { context, isFinal, refusal } = this.#options
    // What it replaces is over for the other side, which would not have offered again.
    const underWay: Attempt = this.#drop('replaced by a new one') ??
      attempt ?? { startedAt: context.clock.now() }
    const { label, ordered, maxRetransmits, resumes } = offer
    this.#terms = { label, ordered, maxRetransmits }
    const handshake = this.#begin(id, underWay)
    underWay.limit?.cancel()
    underWay.limit = context.clock.after(DEADLINE_MS, () => {
      underWay.limit = undefined
      if (!this.isCalled) this.handshake?.end()
    })
    this.#state = { name: 'answering', handshake, attempt: underWay, from, resumes }
    // What it replaces was closed by a listener that heard so.
    if (resumes !== undefined && isFinal(resumes)) handshake.end('closed here', 'no-answer', 'closed')
    else handshake.answer(offer, this.isCalled ? Promise.resolve(undefined) : refusal(from.name))
  }

  /** Ends what is open or under way. Returns the attempt, which goes on. */
  #drop(reason: string): Attempt | undefined {
    const state = this.#state
    this.#state = { name: 'idle' }
    if (state.name === 'idle') return undefined
    state.handshake.close(reason)
    if (state.name !== 'open') return state.attempt
    state.channel.finish(reason, false)
    this.#options.onEvent({ type: 'closed', channel: state.channel, reason })
    // A listener may have called.
    return this.#drop(reason)
  }

  #onEvent(handshake: Handshake, event: HandshakeEvent): void {
    switch (event.type) {
      case 'open':
        return this.#opened(handshake, event)
      case 'unwanted':
        return this.#options.onEvent({ type: 'final', handshake: handshake.id })
      case 'end': {
        if (this.handshake !== handshake) return
        const state = this.#state
        this.#state = { name: 'idle' }
        if (state.name === 'open') this.#lost(state, event)
        else if (state.name !== 'idle') this.#failed(state, event)
      }
    }
  }

  #opened(handshake: Handshake, opened: Opened): void {
    const state = this.#state
    if (!('attempt' in state) || state.handshake !== handshake) return
    const { context, onEvent } = this.#options
    const to = state.from ?? { name: this.to, since: 0 }
    const channel = new Channel({ to, terms: this.#terms, handshake, opened, context })
    state.attempt.limit?.cancel()
    this.#state = { name: 'open', handshake, channel, isCaller: state.name === 'calling' }
    onEvent({ type: 'opened', channel, tried: this.#tried(state) })
    this.#callers.settle(channel)
  }

  /** The channel is gone: an application closed it, or its path was lost. */
  #lost({ handshake, channel, isCaller }: Open, { stage, detail, lost, final }: HandshakeEnd): void {
    const { context, onEvent } = this.#options
    if (final) onEvent({ type: 'final', handshake: handshake.id })
    channel.finish(detail, lost)
    onEvent({ type: 'closed', channel, reason: detail })
    // A listener has called again.
    if (this.handshake) return
    if (this.isCalled && !this.#closed) return this.#call({ startedAt: context.clock.now() })
    if (this.isCalled) this.#callers.settle(undefined, new ConnectError(this.to, stage, detail))
    // The side that called comes back; the other would only meet it half way.
    if (!lost || !isCaller || !handshake.isWanted || this.#closed)
      return onEvent({ type: 'idle', pair: this })
    const abort = new AbortController()
    this.join(DEADLINE_MS, abort.signal, { id: handshake.id, abort }).catch(() => undefined)
  }

  /** Nothing has opened: within the callers' deadlines another try, where that may help. */
  #failed(state: Calling | Answering, { stage, detail, final }: HandshakeEnd): void {
    const { onEvent } = this.#options
    const { attempt } = state
    const forgotten = final ? attempt.resuming : undefined
    forgotten?.abort.abort()
    if (this.isCalled && !this.#closed) {
      // What was to come back had been closed there. Who has called meanwhile wants a new channel.
      if (forgotten) return this.#call(Object.assign(attempt, { resuming: undefined }))
      const isCaller = state.name === 'calling'
      if (isCaller && state.held) return this.#accept(state.held, attempt)
      // Answered, and yet nothing: a lost DTLS flight; or libdatachannel, checking a certificate before it has stored
      // the answer's fingerprint (1 in 100 on one machine). What was never answered would not be answered now.
      const isAnswered = !isCaller || (stage !== 'not-found' && stage !== 'no-answer')
      if (isAnswered && !attempt.isRetry) return this.#call(Object.assign(attempt, { isRetry: true }))
    }
    attempt.limit?.cancel()
    onEvent({ type: 'idle', pair: this })
    if (!this.isCalled) return
    const error = new ConnectError(this.to, stage, detail)
    onEvent({ type: 'failed', error, tried: this.#tried(state) })
    this.#callers.settle(undefined, error)
  }

  #tried({ name, handshake, attempt }: Calling | Answering): Tried {
    const ms = this.#options.context.clock.now() - attempt.startedAt
    return { peer: this.to, handshake: handshake.id, ms, isCaller: name === 'calling' }
  }
}
