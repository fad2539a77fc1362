import type { Name, PresenceState } from '@peerage/protocol'
import type { MemberChange } from '../sessions/sessions.js'

/** A member as the room's list has it. */
export interface Listed {
  name: Name
  since: number
  state: PresenceState
}

interface Known {
  since: number
  state: PresenceState
  /** The last comparison did not find it in the list. */
  missing: boolean
}

/**
 * What the members of this node know of a room's members, from the pages that they read and the changes that they
 * were told. A comparison with the whole list finds changes that nobody told them: a node that died, a membership
 * that ended by its TTL, a publish that was lost [I15].
 */
export class Roster {
  readonly #known = new Map<Name, Known>()
  /** Names that changed while the list was read. The list may be older than these changes. */
  #changedNames: Set<Name> | undefined

  /**
   * One member has read this page. A known state of the same holder is kept, because the other members have not read
   * it.
   */
  listed(members: readonly Listed[]): void {
    for (const { name, since, state } of members)
      if ((this.#known.get(name)?.since ?? -1) < since)
        this.#known.set(name, { since, state, missing: false })
  }

  /** The members are told of a change. */
  told({ name, since, state }: MemberChange): void {
    this.#changedNames?.add(name)
    // A late change of a former holder.
    if ((this.#known.get(name)?.since ?? -1) > since) return
    if (state === 'left') this.#known.delete(name)
    else this.#known.set(name, { since, state: state === 'joined' ? 'online' : state, missing: false })
  }

  /**
   * Compares with the whole list, which `read` reads. Resolves with the changes that the members must be told. The
   * caller passes each of them to `told`.
   */
  async reconcile(read: () => Promise<Iterable<Listed>>): Promise<MemberChange[]> {
    const changed = (this.#changedNames = new Set<Name>())
    try {
      const seen = new Map<Name, Listed>()
      // Of two holders of one name, the later one is last in the list.
      for (const listed of await read()) seen.set(listed.name, listed)
      for (const name of changed) seen.delete(name)
      return [...this.#gone(seen, changed), ...this.#differing(seen.values())]
    } finally {
      this.#changedNames = undefined
    }
  }

  // A member that is missing once may have yet to be written back, after the registry lost everything.
  *#gone(seen: ReadonlyMap<Name, Listed>, changed: ReadonlySet<Name>): Generator<MemberChange> {
    for (const [name, known] of this.#known) {
      if (changed.has(name)) continue
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
