import type { Name, PresenceState } from '@peerage/protocol'
import type { MemberChange } from '../sessions/sessions.js'

/** A member as its room's list says it. */
export interface Listed {
  name: Name
  since: number
  state: PresenceState
}

interface Known {
  since: number
  state: PresenceState
  /** The last look did not find it. */
  missing: boolean
}

/**
 * What the members of this node know of who is in a room: from the pages that they read, and from the changes that
 * they were told. A look at the whole list finds what nobody told them: a node that died, a time that ended, a word
 * that was lost [I15].
 */
export class Roster {
  readonly #known = new Map<Name, Known>()
  /** Of whom there was news while the list was read: what was read may be older. */
  #news: Set<Name> | undefined

  /** A page was read for one of them. What they know of one holder of a name is kept: the others were not told. */
  listed(members: readonly Listed[]): void {
    for (const { name, since, state } of members)
      if ((this.#known.get(name)?.since ?? -1) < since)
        this.#known.set(name, { since, state, missing: false })
  }

  /** They are told of a change. */
  told({ name, since, state }: MemberChange): void {
    this.#news?.add(name)
    // A late word about a former holder.
    if ((this.#known.get(name)?.since ?? -1) > since) return
    if (state === 'left') this.#known.delete(name)
    else this.#known.set(name, { since, state: state === 'joined' ? 'online' : state, missing: false })
  }

  /** `read`: the whole list. Resolves with what they must be told; each of it is to be handed to `told` as well. */
  async look(read: () => Promise<Iterable<Listed>>): Promise<MemberChange[]> {
    const news = (this.#news = new Set<Name>())
    try {
      const seen = new Map<Name, Listed>()
      // Of two holders of one name the later one stands last.
      for (const listed of await read()) seen.set(listed.name, listed)
      for (const name of news) seen.delete(name)
      return [...this.#gone(seen, news), ...this.#differing(seen.values())]
    } finally {
      this.#news = undefined
    }
  }

  // One that is missing once may have yet to be written back, after the registry lost everything.
  *#gone(seen: ReadonlyMap<Name, Listed>, news: ReadonlySet<Name>): Generator<MemberChange> {
    for (const [name, known] of this.#known) {
      if (news.has(name)) continue
      const wasMissing = known.missing
      known.missing = !seen.has(name)
      if (wasMissing && known.missing) yield { name, since: known.since, state: 'left' }
    }
  }

  *#differing(listed: Iterable<Listed>): Generator<MemberChange> {
    for (const { name, since, state } of listed) {
      const known = this.#known.get(name)
      if (known !== undefined && (known.since > since || (known.since === since && known.state === state)))
        continue
      yield { name, since, state: state === 'online' ? 'joined' : 'away' }
    }
  }
}
