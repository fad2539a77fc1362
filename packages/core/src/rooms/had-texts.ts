import type { RoomId } from '@peerage/protocol'

/** Senders whose numbers are kept for one room. No cluster has more nodes. */
const SENDERS_MOST = 1_000
/** Gaps that are kept for one sender. The texts of older gaps count as had, so that none comes twice. */
const GAPS_MOST = 64

interface Gap {
  from: number
  to: number
}

/** The numbers of one sender that have come: all up to `newest`, without the gaps. */
interface Had {
  newest: number
  gaps: Gap[]
}

/**
 * Which texts have come in a room, by the number that their sender has given them. A sender may send a text again. The numbers
 * of a sender grow in each room, and begin anywhere.
 */
export class HadTexts {
  /** In the order in which their first texts came. */
  readonly #bySender = new Map<string, Had>()

  /** Notes that a text has come. False: it has come before. */
  take(sender: string, number: number): boolean {
    const had = this.#bySender.get(sender)
    if (had === undefined) {
      this.#add(sender, number)
      return true
    }
    if (number <= had.newest) return fill(had.gaps, number)
    if (number > had.newest + 1) had.gaps.push({ from: had.newest + 1, to: number - 1 })
    if (had.gaps.length > GAPS_MOST) had.gaps.shift()
    had.newest = number
    return true
  }

  #add(sender: string, number: number): void {
    if (this.#bySender.size >= SENDERS_MOST)
      for (const oldest of this.#bySender.keys()) {
        this.#bySender.delete(oldest)
        break
      }
    // What it sent before may still come, if it was lost for this node.
    this.#bySender.set(sender, { newest: number, gaps: number > 1 ? [{ from: 1, to: number - 1 }] : [] })
  }
}

/** Removes a number from the gaps. False: it is in none. */
function fill(gaps: Gap[], number: number): boolean {
  const at = gaps.findIndex(({ from, to }) => from <= number && number <= to)
  const gap = gaps[at]
  if (gap === undefined) return false
  const rest = [
    { from: gap.from, to: number - 1 },
    { from: number + 1, to: gap.to },
  ].filter(({ from, to }) => from <= to)
  gaps.splice(at, 1, ...rest)
  return true
}

/** What had come in rooms that have no member here any more: a peer may come back at once. */
export class ClosedRooms {
  readonly #most: number
  readonly #keepMs: number
  /** In the order in which they were closed. */
  readonly #rooms = new Map<RoomId, { had: HadTexts; until: number }>()

  /** Keeps at most `most` rooms, for `keepMs` milliseconds: longer than a node repeats a text. */
  constructor(most: number, keepMs: number) {
    this.#most = most
    this.#keepMs = keepMs
  }

  add(id: RoomId, had: HadTexts, now: number): void {
    if (this.#rooms.size < this.#most) this.#rooms.set(id, { had, until: now + this.#keepMs })
  }

  /** The room has a member again. */
  take(id: RoomId): HadTexts | undefined {
    const had = this.#rooms.get(id)?.had
    this.#rooms.delete(id)
    return had
  }

  expire(now: number): void {
    for (const [id, { until }] of this.#rooms) {
      if (until > now) return
      this.#rooms.delete(id)
    }
  }
}
