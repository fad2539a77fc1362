import type { PoolMember, PoolSize } from '../pools/registry.js'

/** A member of a pool, and when its membership ends. */
export interface PoolEntry {
  member: PoolMember
  since: number
  expiresAt: number
  /** Its place in the array of all entries. */
  at: number
  /** When the pool looks whether the membership has ended: not after it ends. */
  lookAt: number
}

/** Small pools need not tidy up. */
const LOOKS_SPARE = 64

interface Look {
  entry: PoolEntry
  at: number
}

/** The members of one pool. Every operation takes a time that hardly grows with their number. */
export class MemoryPool {
  readonly #byId = new Map<string, PoolEntry>()
  /** For drawing: in no order, without gaps. */
  readonly #all: PoolEntry[] = []
  /** When to look whether a membership has ended: a binary heap with the earliest time first. */
  #looks: Look[] = []
  #marked = 0
  /** All memberships have ended by then. */
  expiresAt = 0

  get size(): PoolSize {
    return { members: this.#all.length, marked: this.#marked }
  }

  get(id: string): PoolEntry | undefined {
    return this.#byId.get(id)
  }

  /** A known member that was marked stays marked. */
  put(member: PoolMember, since: number, expiresAt: number): void {
    this.expiresAt = Math.max(this.expiresAt, expiresAt)
    const known = this.#byId.get(member.id)
    const entry = known ?? {
      member,
      since,
      expiresAt,
      at: this.#all.length,
      lookAt: Number.POSITIVE_INFINITY,
    }
    if (known === undefined) {
      this.#byId.set(member.id, entry)
      this.#all.push(entry)
      if (member.marked) this.#marked++
    } else if (!entry.member.marked) {
      if (member.marked) this.#marked++
      entry.member = member
    } else entry.member = member.marked ? member : { ...member, marked: true }
    entry.since = since
    entry.expiresAt = expiresAt
    // A renewal changes nothing here: the pool looks again when it finds that the membership goes on.
    if (expiresAt < entry.lookAt) this.#look(entry)
  }

  remove(entry: PoolEntry): void {
    this.#byId.delete(entry.member.id)
    entry.lookAt = Number.NaN
    if (entry.member.marked) this.#marked--
    const last = this.#all.pop()
    if (last !== undefined && last !== entry) {
      this.#all[entry.at] = last
      last.at = entry.at
    }
    if (this.#looks.length > 2 * this.#all.length + LOOKS_SPARE) this.#forgetLooks()
  }

  /** Members that come and leave again would otherwise leave a look each until their time would have ended. */
  #forgetLooks(): void {
    const looks = this.#looks.filter(({ entry, at }) => entry.lookAt === at)
    // A sorted array is a heap.
    this.#looks = looks.sort((a, b) => a.at - b.at)
  }

  /** Removes the members whose time has ended. */
  prune(now: number): void {
    for (let first = this.#looks[0]; first !== undefined && first.at <= now; first = this.#looks[0]) {
      this.#shift()
      const { entry, at } = first
      if (entry.lookAt !== at) continue
      if (entry.expiresAt <= now) this.remove(entry)
      else this.#look(entry)
    }
  }

  /** Up to `most` members besides `self`, at random, without repeats. */
  draw(most: number, self: string): PoolMember[] {
    const drawn: PoolMember[] = []
    const all = this.#all
    // A partial shuffle. It may move members, because they are in no order.
    for (let i = 0; i < all.length && drawn.length < most; i++) {
      const chosen = this.#swap(i, i + Math.floor(Math.random() * (all.length - i)))
      if (chosen.member.id !== self) drawn.push(chosen.member)
    }
    return drawn
  }

  #swap(to: number, from: number): PoolEntry {
    const [there, chosen] = [this.#all[to], this.#all[from]]
    if (there === undefined || chosen === undefined) throw new Error('a place outside the pool')
    this.#all[to] = chosen
    this.#all[from] = there
    chosen.at = to
    if (there !== chosen) there.at = from
    return chosen
  }

  #look(entry: PoolEntry): void {
    const looks = this.#looks
    entry.lookAt = entry.expiresAt
    const look = { entry, at: entry.expiresAt }
    let at = looks.push(look) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = looks[above]
      if (parent === undefined || parent.at <= look.at) break
      looks[at] = parent
      at = above
    }
    looks[at] = look
  }

  /** Removes the first of the heap. */
  #shift(): void {
    const looks = this.#looks
    const last = looks.pop()
    if (last === undefined || looks.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      let child = looks[below]
      const right = looks[below + 1]
      if (child === undefined) break
      if (right !== undefined && right.at < child.at) {
        below++
        child = right
      }
      if (child.at >= last.at) break
      looks[at] = child
      at = below
    }
    looks[at] = last
  }
}
