import type { Name } from '@peerage/protocol'
import type { Holder } from '../delivery/signaling.js'
import type { Timer } from '../lib/clock.js'
import { textOf } from '../lib/error.js'
import type { Rates } from '../lib/rates.js'
import { Waiters } from '../lib/waiters.js'
import { Channel } from './channel/channel.js'
import { ConnectError, stageTexts } from './connect-error.js'
import type { Connections } from './connections.js'
import type { HandshakeEnd, HandshakeEvent, Opened } from './handshake/events.js'
import { Handshake } from './handshake/handshake.js'
import { DEADLINE_MS, sendSignal } from './handshake/signals.js'
import type { Call, EndReason, HandshakeSignal } from './handshake/signals.js'
import type { P2PContext, P2POptions, Terms } from './options.js'

/** What all pairs of one controller share. */
export interface PairOptions {
  context: P2PContext
  p2p: Pick<P2POptions, 'relayOnly' | 'holdCandidates' | 'verify'>
  connections: Pick<Connections, 'take'>
  /** Bounds the calls to each peer, because a peer ignores calls over its rate. */
  calls: Rates
  /** Why a call of this peer is refused. Undefined: it is accepted. */
  refusal: (from: Name) => Promise<EndReason | undefined>
  /** Whether either side has closed the channel of this handshake. */
  isClosedForGood: (handshake: string) => boolean
  onEvent: (event: PairEvent) => void
}

export type PairEvent =
  | { type: 'opened'; channel: Channel; tried: Tried }
  | { type: 'failed'; error: ConnectError; tried: Tried }
  | { type: 'closed'; channel: Channel; reason: string }
  /** Either side has closed the channel of this handshake, so it must not be reopened. */
  | { type: 'closed-for-good'; handshake: string }
  /** No channel is open or being opened any more. */
  | { type: 'idle'; pair: Pair }

/** The last handshake of an attempt, and the milliseconds that the whole attempt took. */
export type Tried = { peer: Name; handshake: string; ms: number; isCaller: boolean }

/** The time from the first call, by either side, to the open channel or the failure. It may take several handshakes. */
interface Attempt {
  readonly startedAt: number
  isRetry?: boolean
  resuming?: Resuming | undefined
  /** Ends an attempt that the other side began and does not finish. It runs on even if all local callers give up. */
  limit?: Timer | undefined
}

/** A lost channel that is to be reopened: the id of its handshake, and how to give that up. */
type Resuming = { id: string; abort: AbortController }

type UnderWay = { handshake: Handshake; attempt: Attempt; from?: Holder }
/** `from` is the holder that answered. `held` is an offer that lost the glare; we answer it if our own offer fails. */
type Calling = UnderWay & { name: 'calling'; held?: Call | undefined }
/** `resumes` is the id of the lost channel's handshake, if this one is to reopen it. */
type Answering = UnderWay & { name: 'answering'; resumes: string | undefined }
type Open = { name: 'open'; handshake: Handshake; channel: Channel; isCaller: boolean }
type State = { name: 'idle' } | Calling | Answering | Open

/** How long a held offer waits. In true glare our own offer is answered sooner; else the other side no longer knows it. */
const HELD_MS = 2_000

/** This peer and one other peer under one label: the waiting callers, the current handshake, and the open channel. */
export class Pair {
  readonly to: Name
  readonly label: string
  readonly #options: PairOptions
  /** Both sides compare the same two names, so exactly one of them is the polite peer. */
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

  /** The handshake under way, or the handshake of the open channel. */
  get handshake(): Handshake | undefined {
    return this.#state.name === 'idle' ? undefined : this.#state.handshake
  }

  get channel(): Channel | undefined {
    return this.#state.name === 'open' ? this.#state.channel : undefined
  }

  /** Whether the other side began the attempt under way. */
  get isIncoming(): boolean {
    return 'attempt' in this.#state && this.#state.attempt.limit !== undefined
  }

  /** Whether a caller on this side waits for the channel. */
  get hasCallers(): boolean {
    return this.#callers.size > 0
  }

  /** Resolves to the channel, whichever side's handshake opens it. `resuming`: the lost channel to reopen, if any. */
  join(deadlineMs: number, signal: AbortSignal | undefined, resuming?: Resuming): Promise<Channel> {
    // If the channel is closing, wait for the one that follows it.
    if (this.channel?.isEnding === false) return Promise.resolve(this.channel)
    const aborted = (): void => {
      if ('attempt' in this.#state && !this.hasCallers && !this.isIncoming)
        this.#state.handshake.end('aborted')
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

  /** Takes an offer of the other side: accepts it, or holds it if it collides with our offer and we are not polite. */
  offered(call: Call): void {
    const state = this.#state
    // During the verification the other side has answered, so it offers only if it has lost this handshake.
    const isAnswered = state.name === 'calling' && state.handshake.stage === 'not-verified'
    if (state.name !== 'calling' || this.#isPolite || isAnswered) return this.#accept(call)
    state.held = call
    this.#options.context.clock.after(HELD_MS, () => {
      if (this.#state === state && state.held && state.handshake.stage === 'no-answer')
        this.#accept(state.held)
    })
  }

  /** Takes a later signal of the current handshake. Undefined: the signal was malformed. */
  receive(from: Holder, signal: HandshakeSignal | undefined): void {
    if ('attempt' in this.#state) this.#state.from = from
    if (signal) this.handshake?.receive(signal)
    else this.handshake?.end('the other peer sent a malformed signal')
  }

  /** Resolves when the other side knows, or after 2 s. `isLeaving`: the page or process ends, so nothing can wait. */
  async close(reason: string, isLeaving = false): Promise<void> {
    this.#closed = true
    if (!this.channel) return this.handshake?.end(reason)
    const goodbye = this.handshake?.close(reason)
    if (isLeaving) goodbye?.close()
    return goodbye?.done
  }

  /** Ends the attempt to reopen the lost channel of this handshake, unless another caller waits for a channel. */
  giveUp(id: string): void {
    if ('attempt' in this.#state && this.#state.attempt.resuming?.id === id) {
      // The only caller is the one that reopens the channel.
      if (this.#callers.size === 1) this.#state.handshake.markClosed()
      this.#state.attempt.resuming.abort.abort()
    }
    const state = this.#state
    if (state.name === 'answering' && state.resumes === id && !this.hasCallers)
      state.handshake.end('closed here', state.handshake.stage, 'closed')
  }

  #call(attempt: Attempt): void {
    const handshake = this.#begin(crypto.getRandomValues(new BigUint64Array(1)).join(''), attempt)
    this.#state = { name: 'calling', handshake, attempt }
    handshake.offer(() => this.#options.calls.turn(this.to, () => this.handshake === handshake))
  }

  #begin(id: string, attempt: Attempt): Handshake {
    const { p2p, context, connections } = this.#options
    const { verify } = p2p
    const onError = (error: unknown): void => context.onError(error)
    const handshake: Handshake = new Handshake({
      id,
      relayOnly: p2p.relayOnly ?? false,
      // On the second try our candidates wait for the answer, so nothing of the other side can arrive before we have
      // set it.
      holdCandidates: p2p.holdCandidates === true || attempt.isRetry === true,
      terms: this.#terms,
      resumes: attempt.resuming?.id,
      polite: this.#isPolite,
      clock: context.clock,
      texts: stageTexts,
      prepare: (terms) => connections.take(terms),
      verifier: verify && { verify, local: context.self.name, remote: this.to, onError },
      send: (signal) => this.#send(handshake, signal),
      onEvent: (event) => this.#onEvent(handshake, event),
    })
    return handshake
  }

  async #send(handshake: Handshake, signal: HandshakeSignal): Promise<void> {
    const result = await sendSignal(this.#options.context, this.to, handshake.id, signal)
    if (result === 'delivered' || handshake.hasPath) return
    const isOut = result === 'unavailable' || result === 'incompatible' || result === 'forbidden'
    const stage = isOut ? 'not-found' : handshake.stage
    // The text of `timeout` is about applications, which do not receive signals, so we use the text of the stage.
    handshake.end(result === 'timeout' ? undefined : textOf(result), stage)
  }

  #accept({ from, id, offer }: Call, attempt?: Attempt): void {
    const { context, isClosedForGood, refusal } = this.#options
    // The other side offers again only when the old handshake or channel is over for it, so we drop ours.
    const underWay: Attempt = this.#drop('replaced by a new one') ??
      attempt ?? { startedAt: context.clock.now() }
    const { label, ordered, maxRetransmits, resumes } = offer
    this.#terms = { label, ordered, maxRetransmits }
    const handshake = this.#begin(id, underWay)
    underWay.limit?.cancel()
    underWay.limit = context.clock.after(DEADLINE_MS, () => {
      underWay.limit = undefined
      if (!this.hasCallers) this.handshake?.end()
    })
    this.#state = { name: 'answering', handshake, attempt: underWay, from, resumes }
    // A listener of `channel-closed`, called by `#drop` above, may just have closed the channel that this offer resumes.
    if (resumes !== undefined && isClosedForGood(resumes)) handshake.end('closed here', 'no-answer', 'closed')
    else handshake.answer(offer, this.hasCallers ? Promise.resolve(undefined) : refusal(from.name))
  }

  /** Ends the current handshake and its channel. Returns the attempt under way, which continues. */
  #drop(reason: string): Attempt | undefined {
    const state = this.#state
    this.#state = { name: 'idle' }
    if (state.name === 'idle') return undefined
    state.handshake.close(reason)
    if (state.name !== 'open') return state.attempt
    state.channel.finish(reason, false)
    this.#options.onEvent({ type: 'closed', channel: state.channel, reason })
    // A listener may have begun a new call.
    return this.#drop(reason)
  }

  #onEvent(handshake: Handshake, event: HandshakeEvent): void {
    switch (event.type) {
      case 'open':
        return this.#opened(handshake, event)
      case 'closed-for-good':
        return this.#options.onEvent({ type: 'closed-for-good', handshake: handshake.id })
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
  #lost({ handshake, channel, isCaller }: Open, { stage, detail, lost, forGood }: HandshakeEnd): void {
    const { context, onEvent } = this.#options
    if (forGood) onEvent({ type: 'closed-for-good', handshake: handshake.id })
    channel.finish(detail, lost)
    onEvent({ type: 'closed', channel, reason: detail })
    // A listener has begun a new call or accepted one, so there is nothing to reopen.
    if (this.handshake) return
    if (this.hasCallers && !this.#closed) return this.#call({ startedAt: context.clock.now() })
    if (this.hasCallers) this.#callers.settle(undefined, new ConnectError(this.to, stage, detail))
    // Only the caller reopens a lost channel. If both sides called, their offers would collide.
    if (!lost || !isCaller || handshake.isClosedForGood || this.#closed)
      return onEvent({ type: 'idle', pair: this })
    const abort = new AbortController()
    this.join(DEADLINE_MS, abort.signal, { id: handshake.id, abort }).catch(() => undefined)
  }

  /** No channel opened. Tries again within the callers' deadlines, if another try may help. */
  #failed(state: Calling | Answering, { stage, detail, forGood }: HandshakeEnd): void {
    const { onEvent } = this.#options
    const { attempt } = state
    const abandoned = forGood ? attempt.resuming : undefined
    abandoned?.abort.abort()
    // Another try would fail in the same way, and count as another guess of a secret.
    if (this.hasCallers && !this.#closed && stage !== 'not-verified') {
      // The other application has closed the lost channel. A caller that waits here nevertheless wants a new channel.
      if (abandoned) return this.#call(Object.assign(attempt, { resuming: undefined }))
      const isCaller = state.name === 'calling'
      if (isCaller && state.held) return this.#accept(state.held, attempt)
      // An answered offer may still open no channel. A DTLS flight was lost, or libdatachannel checked the certificate
      // before it had stored the answer's fingerprint (1 in 100 on one machine). A second try helps then. If no answer
      // came at all, it does not help.
      const isAnswered = !isCaller || (stage !== 'not-found' && stage !== 'no-answer')
      if (isAnswered && !attempt.isRetry) return this.#call(Object.assign(attempt, { isRetry: true }))
    }
    attempt.limit?.cancel()
    onEvent({ type: 'idle', pair: this })
    if (!this.hasCallers) return
    const error = new ConnectError(this.to, stage, detail)
    onEvent({ type: 'failed', error, tried: this.#tried(state) })
    this.#callers.settle(undefined, error)
  }

  #tried({ name, handshake, attempt }: Calling | Answering): Tried {
    const ms = this.#options.context.clock.now() - attempt.startedAt
    return { peer: this.to, handshake: handshake.id, ms, isCaller: name === 'calling' }
  }
}
