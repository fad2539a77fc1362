import type { Envelope } from '@peerage/core'
import { decodeEnvelopes } from '@peerage/core'

export interface ArrivalsOptions {
  /** Takes an envelope. Never throws. */
  deliver: (envelope: Envelope) => void
  /** An envelope that had been taken before came once more. */
  repeated: () => void
  /** So many records of a frame were no envelopes. */
  malformed: (records: number) => void
}

/** What a link has brought before its turn: records, numbered from `first`. */
interface Held {
  first: number
  records: string
}

/** What may wait for its turn, in UTF-16 units: more than a sender keeps unconfirmed. */
const HELD_MOST = 32 * 1024 * 1024
/** What a frame takes beside its records, in the same units. */
const HELD_EACH = 100

/**
 * What one node sends to this one, over the inbox and over a link, taken once and in order [LINK1]. Its envelopes are
 * numbered without a gap. The inbox may lose some, so a gap there is taken as a loss. A link loses none: what leaves a gap
 * there is still on its way over the inbox, and the link's waits for it [LINK2].
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  /** The number of the last envelope that was taken; 0: none yet. */
  #last = 0
  #held: Held[] = []
  #heldLength = 0

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  get last(): number {
    return this.#last
  }

  /** Whether something from a link waits for its turn. */
  get holds(): boolean {
    return this.#held.length > 0
  }

  /** Takes what came over the inbox. */
  fromInbox(number: number, envelope: Envelope): void {
    if (number <= this.#last) {
      this.#options.repeated()
      return
    }
    this.#last = number
    this.#options.deliver(envelope)
    this.#takeHeld()
  }

  /** Takes what came over a link, now or when it is its turn. False: too much waits. */
  fromLink(first: number, records: string): boolean {
    if (this.#last > 0 && first <= this.#last + 1) {
      this.#take(first, records)
      return true
    }
    this.#held.push({ first, records })
    this.#heldLength += HELD_EACH + records.length
    return this.#heldLength <= HELD_MOST
  }

  /** The link has ended. What still waits has not been confirmed, so its sender publishes it to the inbox. */
  linkEnded(): void {
    this.#held = []
    this.#heldLength = 0
  }

  /** Takes what waits, as far as it is its turn. */
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
    // What was no envelope has its number all the same.
    this.#last = Math.max(this.#last, first + good + bad - 1)
    if (bad > 0) malformed(bad)
  }
}
