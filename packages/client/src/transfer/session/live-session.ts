import type { Clock } from '../../lib/clock.js'
import type { ShareLink, ShareSession } from '../sharing.js'
import type { Consent, SessionEnd, SessionState, ShareGuest, SharePath } from '../types.js'
import { AwayTimer } from './away-timer.js'
import { ChannelConduit } from './channel-conduit.js'
import type { Bye, Control, ShareTerms } from './control.js'
import { byeEnds, transferEnds } from './ends.js'
import { MESSAGE_BYTES_MIN } from '../engine/limits.js'
import type { Transfer } from '../engine/transfer.js'
import { Listeners } from './listeners.js'
import { endTexts, fileTexts } from './texts.js'
import type { SplitConduit } from './split-conduit.js'

/** Above this, the receiver is asked before files go through the server. */
export const CONSENT_BYTES = 100_000_000

/** What a session needs of the rest of sharing. */
export interface SessionParts {
  role: 'host' | 'guest'
  /** Who is at the other end, as far as it is known. */
  peer: () => ShareGuest
  engine: Transfer
  clock: Clock
  /** Gets what a listener of the application threw. */
  onError: (error: unknown) => void
  /** What holds for the share. Undefined: this side is a guest, and the host says it. */
  terms: (() => ShareTerms) | undefined
  /** The link of a guest, once it is known. */
  link: () => ShareLink | undefined
  /** The rate of the relay policy as bytes of files; undefined: the server carries nothing. */
  serverBytesPerSecond: () => number | undefined
  isSelfOnline: () => boolean
  /** Whether the other peer is known to be away or offline. */
  isPeerAway: () => boolean
  /** The connection is lost, so the guest calls again. */
  onLost: () => void
  /** The last messages are on their way until this resolves. */
  closing: (done: Promise<void>) => void
  /** Called once, when the session has ended. */
  onEnded: () => void
  /** The application has closed a session that had ended. */
  onDropped: () => void
}

/** A session of either role: the transfer, the conduit in use, and what people are told about both. */
export class LiveSession implements ShareSession {
  readonly #parts: SessionParts
  readonly #away: AwayTimer
  readonly #listeners: Listeners
  readonly #stopEngine: () => void
  #device = ''
  #state: SessionState = { name: 'connecting' }
  #consent: Consent = 'not-needed'
  #conduit: SplitConduit | undefined
  #hasTaken = false
  /** Of the hello on the conduit in use. */
  #number = 0
  #ticket: string | undefined
  #terms: ShareTerms = { isOneTime: false }
  #triesLeft: number | undefined

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#listeners = new Listeners(parts.onError)
    this.#away = new AwayTimer(parts.clock, parts.isSelfOnline, () =>
      this.end('peer-left', 'the other side has been away for ten minutes'),
    )
    this.#away.start()
    this.#stopEngine = parts.engine.onChange(() => this.#judge())
  }

  get role(): 'host' | 'guest' {
    return this.#parts.role
  }

  get peer(): ShareGuest {
    return { ...this.#parts.peer(), device: this.#device }
  }

  get state(): SessionState {
    return this.#state
  }

  get transfer(): Transfer {
    return this.#parts.engine
  }

  get consent(): Consent {
    return this.#consent
  }

  get serverBytesPerSecond(): number | undefined {
    return this.#parts.serverBytesPerSecond()
  }

  get hasTaken(): boolean {
    return this.#hasTaken
  }

  get guestTicket(): string | undefined {
    return this.#ticket
  }

  get isOneTime(): boolean {
    return (this.#parts.terms?.() ?? this.#terms).isOneTime
  }

  get expiresAt(): number | undefined {
    return (this.#parts.terms?.() ?? this.#terms).expiresAt
  }

  get link(): ShareLink | undefined {
    return this.#parts.link()
  }

  get passwordTriesLeft(): number | undefined {
    return this.#triesLeft
  }

  get isEnded(): boolean {
    return this.#state.name === 'ended'
  }

  /** Which way the messages go. Undefined: there is no connection now. */
  get way(): 'channel' | 'server' | undefined {
    return this.#conduit?.conduit.way
  }

  /** The channels in use, if messages go that way. */
  get channels(): ChannelConduit | undefined {
    const conduit = this.#conduit?.conduit
    return conduit instanceof ChannelConduit ? conduit : undefined
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  answerConsent(isGiven: boolean): void {
    if (this.#consent !== 'asked' && this.#consent !== 'refused') return
    this.#consent = isGiven ? 'given' : 'refused'
    this.#parts.engine.hold(!isGiven)
    this.#changed()
  }

  close(): void {
    if (this.isEnded) this.#parts.onDropped()
    else this.end('closed-here', endTexts['closed-here'], 'closed')
  }

  /**
   * Takes a conduit on which hello and welcome were said. It replaces the one before, and nothing is lost. `number`: of the
   * hello. Two conduits can be opened at the same time, and both sides keep the one with the higher number.
   */
  attach(conduit: SplitConduit, device: string, number: number): void {
    if (number < this.#number) return void conduit.conduit.close('a later connection is in use', false)
    this.#number = number
    if (this.isEnded) return void conduit.conduit.close('the session has ended', false)
    if (conduit.messageBytesMax < MESSAGE_BYTES_MIN)
      return void conduit.conduit.close('it carries only small messages', false)
    const before = this.#conduit
    this.#conduit = conduit
    this.#away.stop()
    this.#device = device
    conduit.onControl((control) => this.#heard(control))
    this.#parts.engine.attach(conduit)
    void before?.conduit.close('replaced by another path', false)
    this.#set({ name: 'open', path: conduit.conduit.way === 'server' ? 'server' : 'direct', sameLan: false })
    this.#judge()
    conduit.conduit.onClosed(() => this.#lost(conduit))
    if (conduit.conduit instanceof ChannelConduit) void this.#readPath(conduit, conduit.conduit)
  }

  /** The host says that this guest's Accept took the one-time share, or may take it. */
  taken(ticket: string | undefined, isTaken: boolean): void {
    this.#ticket = ticket ?? this.#ticket
    this.#hasTaken ||= isTaken
    this.#changed()
  }

  /** The host says what holds for the share. */
  setTerms({ isOneTime, expiresAt }: ShareTerms): void {
    this.#terms = { isOneTime, ...(expiresAt !== undefined && { expiresAt }) }
    this.#changed()
  }

  /** `triesLeft`: how many more wrong passwords the share takes, if the host has said so. */
  wrongPassword(triesLeft: number | undefined): void {
    this.#triesLeft = triesLeft
    this.end('wrong-password')
  }

  say(control: Control): void {
    this.#conduit?.say(control)
  }

  /** What the presence of the other peer says has changed. */
  presenceChanged(): void {
    if (this.#state.name !== 'reconnecting') return
    this.#set({ name: 'reconnecting', isPeerAway: this.#parts.isPeerAway() })
  }

  /** Ends the session. `bye`: what the other side is told. */
  end(why: SessionEnd, detail: string = endTexts[why], bye?: Bye): void {
    if (this.isEnded) return
    const conduit = this.#conduit
    this.#conduit = undefined
    this.#away.stop()
    this.#stopEngine()
    this.#parts.engine.end(transferEnds[why], fileTexts[why] ?? detail)
    this.#parts.engine.close()
    if (conduit !== undefined) {
      if (bye !== undefined) conduit.say({ session: 'bye', why: bye })
      const closed = conduit.conduit.close(detail, bye !== undefined)
      // A guest that is gone needs no goodbye. A guest itself waits, because its last word says what has arrived.
      if (bye !== undefined && !(this.role === 'host' && this.#parts.isPeerAway()))
        this.#parts.closing(closed)
    }
    this.#consent = 'not-needed'
    this.#set({ name: 'ended', why, detail })
    this.#parts.onEnded()
  }

  #heard(control: Control): void {
    switch (control.session) {
      case 'bye':
        return this.end(byeEnds[control.why])
      case 'taken':
        return this.#parts.role === 'guest' ? this.taken(undefined, true) : undefined
      case 'terms':
        return this.setTerms(control)
      case 'hello':
      case 'welcome':
      case 'refused':
      // Said at another time, these mean nothing.
    }
  }

  #lost(conduit: SplitConduit): void {
    if (this.#conduit !== conduit) return
    this.#conduit = undefined
    this.#parts.engine.detach()
    this.#away.start()
    this.#set({ name: 'reconnecting', isPeerAway: this.#parts.isPeerAway() })
    this.#parts.onLost()
  }

  async #readPath(conduit: SplitConduit, channels: ChannelConduit): Promise<void> {
    const info = await channels.first.info().catch(() => undefined)
    if (info === undefined || this.#conduit !== conduit || this.#state.name !== 'open') return
    const path: SharePath = info.path
    this.#set({ name: 'open', path, sameLan: info.sameLan })
  }

  /** Whether the receiver must be asked before more goes through the server. */
  #judge(): void {
    const { engine } = this.#parts
    if (this.#consent === 'given' || this.isEnded) return
    const isServer = this.way === 'server'
    if (!isServer && this.way === undefined) return
    const asks = isServer && engine.bytesLeft.in > CONSENT_BYTES
    if (asks === (this.#consent !== 'not-needed')) return
    this.#consent = asks ? 'asked' : 'not-needed'
    engine.hold(asks)
    this.#changed()
  }

  #set(state: SessionState): void {
    this.#state = state
    this.#changed()
  }

  #changed(): void {
    this.#listeners.tell()
  }
}
