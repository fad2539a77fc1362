import type { Envelope } from '@peerage/core'
import { decodeEnvelopes } from '@peerage/core'

export interface ArrivalsOptions {
  /** Takes an envelope. Never throws. */
  deliver: (envelope: Envelope) => void
  /** Called when an envelope arrived again. */
  repeated: () => void
  /** Called with the number of records of a frame that were not envelopes. */
  malformed: (records: number) => void
}

/** Records that a link delivered too early, numbered from `first`. */
interface Held {
  first: number
  records: string
}

/** How many UTF-16 units of records may wait for their turn. It is more than a sender keeps unconfirmed. */
const HELD_MOST = 32 * 1024 * 1024
/** Each waiting frame counts this much in addition to its records, in the same units. */
const HELD_EACH = 100

/**
 * Takes the envelopes of one other node, over the inbox and over a link, each once and in order [LINK1]. The envelopes are
 * numbered without a gap. The inbox may lose some, so a gap there counts as a loss. A link loses none: after a gap, the
 * missing envelopes are still arriving over the inbox, and those of the link wait for them [LINK2].
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  /** The number of the last envelope that was taken, or 0. */
  #last = 0
  #held: Held[] = []
  #heldLength = 0

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  get last(): number {
    return this.#last
  }

  /** Whether envelopes from a link wait for their turn. */
  get holds(): boolean {
    return this.#held.length > 0
  }

  /** Takes an envelope from the inbox. */
  fromInbox(number: number, envelope: Envelope): void {
    if (number <= this.#last) {
      this.#options.repeated()
      return
    }
    this.#last = number
    this.#options.deliver(envelope)
    this.#takeHeld()
  }

  /** Takes records from a link, now or at their turn. False if too much waits. */
  fromLink(first: number, records: string): boolean {
    if (this.#last > 0 && first <= this.#last + 1) {
      this.#take(first, records)
      return true
    }
    this.#held.push({ first, records })
    this.#heldLength += HELD_EACH + records.length
    return this.#heldLength <= HELD_MOST
  }

  /** The link has ended. What still waits is not confirmed, so its sender publishes it to the inbox. */
  linkEnded(): void {
    this.#held = []
    this.#heldLength = 0
  }

  /** Takes the waiting records whose turn has come. */
  #takeHeld(): void {
    for (let [next] = this.#held; next !== undefined && next.first <= this.#last + 1; [next] = this.#held) {
      this.#held.shift()
      this.#heldLength -= HELD_EACH + next.records.length
      this.#take(next.first, next.records)
    }
  }

  #take(first: number, records: string): void {
    const { deliver, repeated, malformed } = this.#options
    let good = 0
    const bad = decodeEnvelopes(records, (envelope, _origin, place) => {
      good++
      const number = first + place
      if (number <= this.#last) {
        repeated()
        return
      }
      this.#last = number
      deliver(envelope)
    })
    // A record that is not an envelope has a number, too.
    this.#last = Math.max(this.#last, first + good + bad - 1)
    if (bad > 0) malformed(bad)
  }
}
