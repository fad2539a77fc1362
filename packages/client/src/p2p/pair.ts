import type { Name } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import { abortError, onAbort } from '../lib/abort.js'
import type { Channel } from './channel/channel.js'
import type { Timer } from '../lib/clock.js'
import type { FailureStage } from './connect-error.js'
import { ConnectError, stageTexts } from './connect-error.js'
import { textOf } from '../lib/error.js'
import type { HandshakeSignal, Terms } from './handshake/handshake-signal.js'
import { DEADLINE_MS, sendSignal } from './handshake/handshake-signal.js'
import type { HandshakeEnd } from './handshake/handshake-options.js'
import { Handshake } from './handshake/negotiation.js'
import { openChannel } from './open-channel.js'
import type { Offer, Outcome, PairDeps } from './pair-deps.js'
import type { Stay } from '../delivery/signaling.js'
import type { Streams } from './channel/streams.js'

type Caller = (channel: Channel | undefined, error?: unknown) => void

/** In true glare the answer to our offer is on its way; after this, the other side has forgotten our offer. */
const HELD_MS = 2_000

/** This peer and another under one label: who waits, the handshake under way, and the channel it became. */
export class Pair {
  readonly to: Name
  readonly #deps: PairDeps
  readonly #callers = new Set<Caller>()
  #terms: Terms
  #handshake: Handshake | undefined
  /** True while the handshake is this peer's own. */
  #calling = false
  #startedAt = 0
  #stay: Stay | undefined
  #channel: Channel | undefined
  /** An offer that lost the glare, in case ours comes to nothing. */
  #held: { from: Stay; id: string; offer: Offer } | undefined
  #retried = false
  /** Under way while a lost channel is to come back: its handshake, and the way to give that up. */
  #resuming: { id: string; abort: AbortController } | undefined
  /** The lost channel that the other side's handshake is to bring back. */
  #resumes: string | undefined
  /** The handshake whose channel an application closed when it was lost. */
  #unwantedId: string | undefined
  /** Ends what the other side began and did not finish. */
  #limit: Timer | undefined
  #closed = false

  constructor(to: Name, terms: Terms, deps: PairDeps) {
    this.to = to
    this.#terms = terms
    this.#deps = deps
  }

  get label(): string {
    return this.#terms.label
  }

  get channel(): Channel | undefined {
    return this.#channel
  }

  get isIncoming(): boolean {
    return this.#limit !== undefined
  }

  /** Whether this side waits for the channel, too. */
  get isCalled(): boolean {
    return this.#callers.size > 0
  }

  /** Whether a signal belongs to the handshake under way. */
  has(id: string): boolean {
    return this.#handshake?.id === id
  }

  /** The channel as soon as there is one, whoever's handshake brings it. */
  join(deadlineMs: number, signal: AbortSignal | undefined): Promise<Channel> {
    // Beyond one that is closing there is a new one to wait for.
    if (this.#channel?.isEnding === false) return Promise.resolve(this.#channel)
    return new Promise((resolve, reject) => {
      const settle: Caller = (channel, error) => {
        timer.cancel()
        ignore()
        this.#callers.delete(settle)
        if (channel) resolve(channel)
        else reject(error)
      }
      const ignore = onAbort(signal, () => {
        settle(undefined, abortError(signal))
        if (this.#callers.size === 0 && !this.#limit) this.#handshake?.end(this.#stage, 'aborted')
      })
      const timer = this.#deps.context.clock.after(deadlineMs, () => {
        const detail = stageTexts[this.#stage]
        if (this.#callers.size > 1 || !this.#handshake)
          return settle(undefined, new ConnectError(this.to, this.#stage, detail))
        this.#retried = true
        this.#held = undefined
        this.#handshake?.end(this.#stage, detail)
      })
      this.#callers.add(settle)
      if (!this.#handshake) this.#call()
    })
  }

  /** An offer of the other side: accepted, or held back where it collides with ours. */
  offered(from: Stay, id: string, offer: Offer): void {
    const handshake = this.#handshake
    if (!handshake || !this.#calling || this.#channel || this.#isPolite) return this.#accept(from, id, offer)
    this.#held = { from, id, offer }
    this.#deps.context.clock.after(HELD_MS, () => {
      if (this.#handshake === handshake && !handshake.isAnswered) this.#takeHeld()
    })
  }

  /** A later signal of the handshake under way; undefined: one that nobody can read. */
  receive(from: Stay, signal: HandshakeSignal | undefined): void {
    this.#stay = from
    if (signal) this.#handshake?.receive(signal)
    else this.#handshake?.end(this.#stage, 'a malformed signal came')
  }

  recover(): void {
    this.#handshake?.recover()
  }

  /** Whether an application has closed the channel of this handshake, which is not over yet. */
  isClosing(id: string | undefined): boolean {
    return this.#handshake?.id === id && this.#handshake?.isWanted === false
  }

  /** Resolves when the other side knows, or after 2 s. `leaves`: there is no time to wait for that. */
  async close(reason: string, leaves = false): Promise<void> {
    this.#closed = true
    const handshake = this.#handshake
    if (!this.#channel || !handshake) return handshake?.end(this.#stage, reason)
    const heard = handshake.close(reason)
    if (leaves) handshake.hangUp()
    return heard
  }

  /** The lost channel of this handshake is not to come back: what is under way for that ends, unless it is wanted. */
  giveUp(id: string): void {
    if (this.#resuming?.id === id) {
      if (this.#callers.size === 1) this.#handshake?.unwanted()
      this.#resuming.abort.abort()
    }
    if (this.#resumes === id && !this.#channel && !this.isCalled)
      this.#handshake?.end(this.#stage, 'closed here', 'closed')
  }

  get #stage(): FailureStage {
    return this.#handshake?.stage ?? 'timeout'
  }

  /** Both sides compare the same two names, so exactly one gives way. */
  get #isPolite(): boolean {
    return this.#deps.context.self.name < this.to
  }

  #call(): void {
    this.#calling = true
    this.#resumes = undefined
    this.#startedAt ||= this.#deps.context.clock.now()
    this.#begin(crypto.getRandomValues(new BigUint64Array(1)).join('')).offer()
  }

  #begin(id: string): Handshake {
    const { relayOnly, holdCandidates, context } = this.#deps
    const handshake: Handshake = new Handshake({
      id,
      relayOnly,
      // On the second try nothing reaches us before the answer is in place, so that race cannot come again.
      holdCandidates: holdCandidates || this.#retried,
      terms: this.#terms,
      resumes: this.#resuming?.id,
      polite: this.#isPolite,
      clock: context.clock,
      turn: (isWanted) => this.#deps.turn(this.to, isWanted),
      prepare: (terms) => this.#deps.prepare(terms),
      send: (signal) => this.#send(handshake, signal),
      onOpen: (streams) => this.#opened(handshake, streams),
      onEnd: (end) => this.#ended(handshake, end),
    })
    this.#handshake = handshake
    return handshake
  }

  async #send(handshake: Handshake, signal: HandshakeSignal): Promise<void> {
    const result = await sendSignal(this.#deps.context, this.to, handshake.id, signal)
    if (result === 'delivered' || handshake.isOpen) return
    const stage = result === 'unavailable' || result === 'incompatible' ? 'not-found' : this.#stage
    // That of a message that timed out speaks of applications, which hear of no signal.
    handshake.end(stage, result === 'timeout' ? stageTexts[stage] : textOf(result))
  }

  #takeHeld(): boolean {
    const held = this.#held
    if (!held) return false
    this.#accept(held.from, held.id, held.offer)
    return true
  }

  #accept(from: Stay, id: string, offer: Offer): void {
    const { clock } = this.#deps.context
    // What it replaces is over for the other side, which would not have offered again.
    const before = this.#handshake
    this.#handshake = undefined
    void before?.close('replaced by a new one')
    this.#closeChannel('replaced by a new one', false)
    this.#limit?.cancel()
    this.#held = undefined
    this.#calling = false
    this.#resumes = offer.resumes
    this.#stay = from
    this.#terms = { label: offer.label, ordered: offer.ordered, maxRetransmits: offer.maxRetransmits }
    this.#startedAt ||= clock.now()
    const handshake = this.#begin(id)
    // What it replaces was closed by a listener that heard so.
    if (offer.resumes !== undefined && offer.resumes === this.#unwantedId)
      return handshake.end('no-answer', 'closed here', 'closed')
    this.#limit = clock.after(DEADLINE_MS, () => {
      this.#limit = undefined
      if (this.#callers.size === 0) handshake.end(handshake.stage, stageTexts[handshake.stage])
    })
    handshake.answer(
      offer,
      this.#callers.size > 0 ? Promise.resolve(undefined) : this.#deps.refusal(from.name),
    )
  }

  #opened(handshake: Handshake, streams: Streams): void {
    const { connection } = handshake
    if (this.#handshake !== handshake || !connection) return
    const { context } = this.#deps
    const to = this.#stay ?? { name: this.to, since: 0 }
    const channel = openChannel(handshake, connection, streams, {
      to,
      terms: this.#terms,
      clock: context.clock,
      carriers: context.carriers,
      onClosing: () => this.#unwanted(handshake),
      onError: (error, stage) => context.onError(error, stage),
    })
    this.#channel = channel
    const ms = this.#settle()
    this.#deps.onOpen(channel)
    for (const caller of this.#callers) caller(channel)
    channel
      .info()
      .then(({ path }) => this.#report({ peer: this.to, handshake: handshake.id, path, ms }))
      .catch((error: unknown) => context.onError(error))
  }

  #ended(handshake: Handshake, end: HandshakeEnd): void {
    if (this.#handshake !== handshake) return
    this.#handshake = undefined
    if (this.#channel) this.#lost(handshake, end)
    else if (end.final && this.#resuming) this.#forget()
    else if (this.#closed || !this.#tryAgain(end.stage)) this.#failed(handshake, end)
  }

  /** An application closes the channel of this handshake. Where it was lost before, what is to bring it back ends. */
  #unwanted(handshake: Handshake): void {
    handshake.unwanted()
    if (this.#handshake === handshake) return
    this.#unwantedId = handshake.id
    this.#deps.onFinal(handshake.id)
  }

  /** The channel is gone: an application closed it, or its path was lost. */
  #lost(handshake: Handshake, { stage, detail, lost, final }: HandshakeEnd): void {
    if (final) this.#deps.onFinal(handshake.id)
    this.#closeChannel(detail, lost)
    const comesBack = lost && this.#calling && handshake.isWanted
    // A listener has called again.
    if (this.#handshake) return
    if (this.#callers.size > 0 && !this.#closed) return this.#call()
    for (const caller of this.#callers) caller(undefined, new ConnectError(this.to, stage, detail))
    // The side that called comes back; the other would only meet it half way.
    if (!comesBack || this.#closed) return this.#deps.onIdle()
    this.#resuming = { id: handshake.id, abort: new AbortController() }
    this.join(DEADLINE_MS, this.#resuming.abort.signal).catch(() => undefined)
  }

  /** What was to come back had been closed there. Who has called meanwhile wants a new channel. */
  #forget(): void {
    this.#resuming?.abort.abort()
    this.#resuming = undefined
    if (this.#callers.size > 0 && !this.#closed) return this.#call()
    this.#settle()
    this.#deps.onIdle()
  }

  #failed(handshake: Handshake, { stage, detail }: HandshakeEnd): void {
    const ms = this.#settle()
    this.#deps.onIdle()
    if (this.#callers.size === 0) return
    const error = new ConnectError(this.to, stage, detail)
    this.#deps.onFail(error)
    for (const caller of this.#callers) caller(undefined, error)
    this.#report({ peer: this.to, handshake: handshake.id, path: 'failed', stage, ms })
  }

  /** Within the callers' deadlines: the offer held back, else one more of our own where that may help. */
  #tryAgain(stage: FailureStage): boolean {
    if (this.#callers.size === 0) return false
    if (this.#takeHeld()) return true
    // Answered, and yet nothing: a lost DTLS flight; or libdatachannel, checking a certificate before it has stored
    // the answer's fingerprint (1 in 100 on one machine). What was never answered would not be answered now.
    if (this.#retried || (this.#calling && (stage === 'not-found' || stage === 'no-answer'))) return false
    this.#retried = true
    this.#call()
    return true
  }

  /** The attempt is over, either way; how long it took, in milliseconds. */
  #settle(): number {
    const ms = this.#deps.context.clock.now() - this.#startedAt
    this.#limit?.cancel()
    this.#limit = this.#held = this.#resuming = undefined
    this.#retried = false
    this.#startedAt = 0
    return ms
  }

  #closeChannel(reason: string, lost: boolean): void {
    const channel = this.#channel
    if (!channel) return
    this.#channel = undefined
    channel.finish(reason, lost)
    this.#deps.onClose(channel, reason)
  }

  #report(outcome: Outcome): void {
    this.#deps.onOutcome(outcome)
    // The caller speaks for both, so that nothing is counted twice.
    const { handshake, path, stage } = outcome
    const ms = Math.min(Math.round(outcome.ms), limits.reportMs)
    if (this.#calling) this.#deps.context.report({ handshake, path, ms, ...(stage ? { stage } : {}) })
  }
}
