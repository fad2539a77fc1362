import type { SessionEnd, ShareLink, ShareSession, Store } from '@peerage/client/transfer'
import { Accepted } from './accepted.js'
import type { TabMemory } from './world.js'

const TICKET = 'peerage-share-ticket'
const CODE_LINK = 'peerage-share-code-guest'

/** What a guest needs to come back after a reload. */
export class GuestMemory {
  readonly #memory: TabMemory
  readonly #accepted: Accepted

  constructor(memory: TabMemory) {
    this.#memory = memory
    this.#accepted = new Accepted(memory)
  }

  /** The link with which the guest of a code comes back. The address of the page does not name it. */
  get codeLink(): ShareLink | undefined {
    const [name, fragment, more] = this.#memory.get(CODE_LINK)?.split(' ') ?? []
    return name === undefined || fragment === undefined || more !== undefined ? undefined : { name, fragment }
  }

  forgetCodeLink(): void {
    this.#memory.remove(CODE_LINK)
  }

  /** With it, who has taken a share for one person comes back. */
  ticketOf(link: ShareLink): string | undefined {
    return this.#memory.get(ticketKey(link))
  }

  /** Keeps what the session says about itself. `to`: the link or the code that was opened. */
  keep(session: ShareSession, to: ShareLink | string): void {
    const { state, guestTicket } = session
    const link = linkOf(session, to)
    if (link === undefined) return
    if (guestTicket !== undefined) this.#memory.set(ticketKey(link), guestTicket)
    // While files were not removed, a reload shows them again.
    if (state.name === 'ended' && isFinal(state.why) && !this.#accepted.hasSome(link)) this.forgetCodeLink()
    else if (typeof to === 'string') this.#memory.set(CODE_LINK, `${link.name} ${link.fragment}`)
  }

  accepted(session: ShareSession, to: ShareLink | string, keys: readonly string[]): void {
    const link = linkOf(session, to)
    if (link !== undefined) this.#accepted.add(link, keys)
  }

  removed(session: ShareSession, to: ShareLink | string, keys: readonly string[]): void {
    const link = linkOf(session, to)
    if (link !== undefined) this.#accepted.remove(link, keys)
  }

  /** Accepts again what was accepted before the reload. */
  resume(link: ShareLink, session: ShareSession, store: Store | undefined): void {
    this.#accepted.resume(link, session, store)
  }
}

const ticketKey = ({ name, fragment }: ShareLink): string => `${TICKET} ${name} ${fragment}`

const linkOf = (session: ShareSession, to: ShareLink | string): ShareLink | undefined =>
  typeof to === 'string' ? session.link : to

/** Whether the link cannot serve again. */
const isFinal = (why: SessionEnd): boolean =>
  ['stopped', 'expired', 'taken-elsewhere', 'wrong-link', 'locked', 'closed-here'].includes(why)
