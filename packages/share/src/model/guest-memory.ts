import type { SessionEnd, ShareLink, ShareSession, Store, TransferFile } from '@peerage/client/transfer'
import { Accepted } from './accepted.js'
import { HadFiles } from './had-files.js'
import type { HadPlace } from './had-files.js'
import type { TabMemory } from './world.js'

const TICKET = 'peerage-share-ticket'
const CODE_LINK = 'peerage-share-code-guest'

/** What a guest needs to come back after a reload. */
export class GuestMemory {
  readonly #memory: TabMemory
  readonly #accepted: Accepted
  readonly #had: HadFiles

  constructor(memory: TabMemory) {
    this.#memory = memory
    this.#accepted = new Accepted(memory)
    this.#had = new HadFiles(memory)
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

  /** Where a file of an earlier session went. Undefined: it is new. */
  hadIn(session: ShareSession, to: ShareLink | string, file: TransferFile): HadPlace | undefined {
    const link = linkOf(session, to)
    return link && this.#had.placeOf(link, file)
  }

  /** These files are outside of the page now. */
  had(session: ShareSession, to: ShareLink | string, files: readonly TransferFile[], place: HadPlace): void {
    const link = linkOf(session, to)
    if (link !== undefined) this.#had.add(link, files, place)
  }

  /** Accepts again what was accepted before the reload. */
  resume(link: ShareLink, session: ShareSession, store: Store | undefined): void {
    this.#accepted.resume(link, session, store)
  }
}

const ticketKey = ({ name, fragment }: ShareLink): string => `${TICKET} ${name} ${fragment}`

/** The link of a session. Undefined: it is opened by a code, and the link is not known yet. */
export const linkOf = (session: ShareSession, to: ShareLink | string): ShareLink | undefined =>
  typeof to === 'string' ? session.link : to

/** Whether the link cannot serve again. */
const isFinal = (why: SessionEnd): boolean =>
  ['stopped', 'expired', 'taken-elsewhere', 'wrong-link', 'locked', 'closed-here'].includes(why)
