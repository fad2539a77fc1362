import type { Name, PresenceState } from '@peerage/protocol'
import type { MemberChange } from '../sessions/sessions.js'

/** A member as the room's list has it. */
export interface Listed {
  name: Name
  since: number
  state: PresenceState
}

/**
 * What a comparison with the list may find. `unknown`: only members that nobody told of. After a doubt, other members may
 * not have been written back yet, and nodes may count as dead that have not beaten yet.
 */
export type Sought = 'all' | 'unknown'

interface Known {
  since: number
  state: PresenceState
  /** True if the last comparison did not find the member in the list. */
  missing: boolean
  /** One member of this node has read it in the list, and no change has told the others. */
  untold: boolean
}

/**
 * The state of a room's members as the members on this node know it, from the pages that they read and the changes that
 * they received. A comparison with the whole list finds changes that no node reported: a node died, a membership ended
 * by its TTL, or a publish was lost [I15].
 */
export class Roster {
  readonly #known = new Map<Name, Known>()
  /** Names that changed while the list was read. The list may be older than these changes. */
  #changedNames: Set<Name> | undefined
  #most = 0

  /** How many members are known. */
  get size(): number {
    return this.#known.size
  }

  /** The most members that were known at one time. */
  get most(): number {
    return this.#most
  }

  /**
   * One member has read this page. A known state of the same holder is kept, because the other members have not read
   * it. `hasOthers`: there are other members on this node. If no change tells them of a member of the page, the next
   * comparison does.
   */
  listed(members: readonly Listed[], hasOthers: boolean): void {
    for (const { name, since, state } of members)
      if ((this.#known.get(name)?.since ?? -1) < since)
        this.#set(name, { since, state, missing: false, untold: hasOthers })
  }

  /** Notes a change that the members on this node are told. */
  told({ name, since, state }: MemberChange): void {
    this.#changedNames?.add(name)
    // The change is late: it concerns a former holder of the name.
    if ((this.#known.get(name)?.since ?? -1) > since) return
    if (state === 'left') this.#known.delete(name)
    else
      this.#set(name, {
        since,
        state: state === 'joined' ? 'online' : state,
        missing: false,
        untold: false,
      })
  }

  #set(name: Name, known: Known): void {
    this.#known.set(name, known)
    this.#most = Math.max(this.#most, this.#known.size)
  }

  /**
   * Compares with the whole list, which `read` reads. Resolves with the changes that the members must be told. The
   * caller passes each of them to `told`.
   */
  async reconcile(read: () => Promise<Iterable<Listed>>, sought: Sought): Promise<MemberChange[]> {
    const changed = (this.#changedNames = new Set<Name>())
    try {
      const seen = new Map<Name, Listed>()
      // Of two holders of one name, the later one is last in the list.
      for (const listed of await read()) seen.set(listed.name, listed)
      for (const name of changed) seen.delete(name)
      if (sought === 'all') return [...this.#gone(seen, changed), ...this.#differing(seen.values())]
      return [
        ...this.#differing([...seen.values()].filter(({ name }) => this.#known.get(name)?.untold ?? true)),
      ]
    } finally {
      this.#changedNames = undefined
    }
  }

  // A member that is missing once may not have been written back yet, after the registry lost everything.
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
      const isSame = known?.since === since && known.state === state && !known.untold
      if (known !== undefined && (known.since > since || isSame)) continue
      yield { name, since, state: state === 'online' ? 'joined' : 'away' }
    }
  }
}
