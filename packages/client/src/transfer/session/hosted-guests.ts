import type { Name } from '@peerage/protocol'
import { randomText } from '../../lib/base64.js'
import type { SharedFile } from '../sharing.js'
import type { SessionEnd } from '../types.js'
import { VERSION } from './control.js'
import type { Bye, Refusal, ShareTerms } from './control.js'
import type { Transfer } from '../engine/transfer.js'
import type { Hello, Welcome } from './host-door.js'
import type { LiveSession } from './live-session.js'

/** A guest of the share. */
interface Hosted {
  guest: Name
  /** New at each load of the guest's page. */
  instance: string
  ticket: string
  engine: Transfer
  session: LiveSession
}

export interface HostedHooks {
  terms: () => ShareTerms
  onEnded: () => void
  onDropped: () => void
}

export interface GuestsParts {
  /** New at each load of the host's page. */
  instance: string
  device: string
  /** Makes the transfer and the session with a guest. */
  open: (guest: Name, hooks: HostedHooks) => { engine: Transfer; session: LiveSession }
  files: () => readonly SharedFile[]
  terms: () => ShareTerms
  /** The ticket of the guest that has taken the share. */
  takenBy: () => string | undefined
  take: (ticket: string) => void
  changed: () => void
  /** The keys of the session are void. */
  forget: (session: LiveSession) => void
}

/** Sessions at once, so that no crowd fills the memory of a phone. */
const ACTIVE_MAX = 64
/** Sessions that have ended and are still shown. The oldest goes first. */
const ENDED_MAX = 64
const TICKET_BYTES = 16

/** The guests of a share, and which of them may have its files. */
export class HostedGuests {
  readonly #parts: GuestsParts
  #all: Hosted[] = []

  constructor(parts: GuestsParts) {
    this.#parts = parts
  }

  get sessions(): LiveSession[] {
    return this.#all.map(({ session }) => session)
  }

  get engines(): Transfer[] {
    return this.#active().map(({ engine }) => engine)
  }

  /** A guest that has proven itself says hello. A page that was loaded anew begins anew, and replaces its session. */
  welcome(guest: Name, hello: Hello): { session: LiveSession; welcome: Welcome } | { refused: Refusal } {
    const before = this.#active().find((one) => one.guest === guest)
    const isSame = before?.instance === hello.instance
    const takenBy = this.#parts.takenBy()
    const ticket = isSame ? before.ticket : hello.ticket
    if (takenBy !== undefined && ticket !== takenBy) return { refused: 'taken-elsewhere' }
    if (before === undefined && this.#active().length >= ACTIVE_MAX) return { refused: 'busy' }
    const hosted = isSame ? before : this.#open(guest, hello.instance, takenBy ?? randomText(TICKET_BYTES))
    if (before !== hosted) {
      before?.session.end('closed-there')
      this.#dropReplaced(hosted)
    }
    const { device, instance } = this.#parts
    const isTaken = takenBy !== undefined
    const terms = this.#parts.terms()
    const welcome = { version: VERSION, device, instance, isTaken, ticket: hosted.ticket, ...terms }
    return { session: hosted.session, welcome: { session: 'welcome', ...welcome } }
  }

  /** The terms of the share have changed, so its guests are told. */
  tellTerms(): void {
    for (const { session } of this.#active()) session.say({ session: 'terms', ...this.#parts.terms() })
  }

  /** `detail`: what the host itself shows. */
  end(why: SessionEnd, detail?: string, bye?: Bye): void {
    for (const { session } of this.#active()) session.end(why, detail, bye)
  }

  #active(): Hosted[] {
    return this.#all.filter(({ session }) => !session.isEnded)
  }

  /** The new session of a guest stands for its old ones too, unless an old one has what only it can show. */
  #dropReplaced(hosted: Hosted): void {
    const isReplaced = ({ guest, session, engine }: Hosted): boolean =>
      guest === hosted.guest &&
      session.isEnded &&
      !engine.state.items.some(({ direction }) => direction === 'in')
    const left = this.#all.filter((one) => !isReplaced(one))
    if (left.length === this.#all.length) return
    this.#all = left
    this.#parts.changed()
  }

  #open(guest: Name, instance: string, ticket: string): Hosted {
    const { changed, forget, terms } = this.#parts
    const { engine, session } = this.#parts.open(guest, {
      terms,
      onEnded: () => {
        forget(session)
        changed()
      },
      onDropped: () => {
        this.#all = this.#all.filter((one) => one !== hosted)
        changed()
      },
    })
    const hosted: Hosted = { guest, instance, ticket, engine, session }
    const ended = this.#all.filter((one) => one.session.isEnded)
    // What was received is still shown, until the application closes the session that has ended.
    const tooOld = ended.slice(0, Math.max(0, ended.length - ENDED_MAX))
    this.#all = [...this.#all.filter((one) => !tooOld.includes(one)), hosted]
    engine.onAccepted(() => this.#accepted(hosted))
    engine.offerShared(this.#parts.files())
    changed()
    return hosted
  }

  /**
   * A one-time share belongs to the first guest that accepts a file of it. Who took it before the host shared it again goes
   * on.
   */
  #accepted(hosted: Hosted): void {
    const { terms, takenBy, take } = this.#parts
    const { isEnded, hasTaken } = hosted.session
    if (!terms().isOneTime || takenBy() !== undefined || isEnded || hasTaken) return
    take(hosted.ticket)
    hosted.session.taken(hosted.ticket, true)
    hosted.session.say({ session: 'taken' })
    for (const other of this.#active())
      if (other !== hosted && !other.session.hasTaken)
        other.session.end('taken-elsewhere', undefined, 'taken-elsewhere')
  }
}
