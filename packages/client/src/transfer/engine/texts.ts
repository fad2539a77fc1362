import type { Clock } from '../../lib/clock.js'
import type { TransferText } from '../types.js'
import type { Control } from './codec.js'
import { TEXTS_LENGTH_MAX, TEXTS_MAX, TEXT_LENGTH_MAX, TEXT_PIECE_LENGTH } from './limits.js'

/** A text of either direction. */
export interface TextRecord {
  view: TransferText
  /** The number that its sender gave it. */
  id: number
  isRemoved: boolean
}

export interface TextsOptions {
  clock: Clock
  send: (message: Control) => void
  /** A text is new or has changed. */
  changed: (text: TextRecord, isNew: boolean) => void
  /** The other side broke the protocol. */
  breach: (what: string) => void
}

/** Texts between the two peers [FT17]: each arrives once and in order, or is still on its way. */
export class Texts {
  readonly #options: TextsOptions
  /** Sent and not acknowledged. */
  readonly #unacked: TextRecord[] = []
  #sent = 0
  #received = 0
  /** Texts of the other side that the application has not removed. */
  readonly #kept = new Set<TextRecord>()
  #keptLength = 0
  /** The pieces of a text that has begun to arrive. */
  #begun: { id: number; text: string } | undefined
  /** A text came for which there was no room. */
  #hasRefused = false
  #keys = 0

  constructor(options: TextsOptions) {
    this.#options = options
  }

  /** @throws RangeError if the text is empty or too long */
  send(text: string): void {
    if (text === '' || text.length > TEXT_LENGTH_MAX)
      throw new RangeError(
        `text: ${text.length} characters; must be from 1 to ${TEXT_LENGTH_MAX} characters (send longer ones as a file)`,
      )
    const record = this.#record('out', ++this.#sent, text)
    this.#unacked.push(record)
    this.#transmit(record)
  }

  /**
   * The other side begins on a new conduit: sends again what it may not have. `isNew`: it has forgotten everything, so
   * both sides count from 1 again.
   */
  begun(isNew: boolean): void {
    this.#begun = undefined
    if (isNew) {
      this.#received = 0
      this.#sent = 0
      for (const record of this.#unacked) record.id = ++this.#sent
    }
    for (const record of this.#unacked) this.#transmit(record)
  }

  piece({ id, text, more }: Extract<Control, { type: 'text' }>): void {
    if (this.#begun?.id !== id) this.#begun = { id, text: '' }
    this.#begun.text += text
    if (this.#begun.text.length > TEXT_LENGTH_MAX)
      return this.#options.breach('it sent a text that is too long')
    if (more) return
    const whole = this.#begun.text
    this.#begun = undefined
    if (id === this.#received + 1) {
      if (this.#kept.size >= TEXTS_MAX || this.#keptLength + whole.length > TEXTS_LENGTH_MAX) {
        this.#hasRefused = true
        return
      }
      this.#received = id
      this.#keptLength += whole.length
      this.#kept.add(this.#record('in', id, whole))
    }
    // Also for a text that came before: its acknowledgement was lost.
    if (id <= this.#received) this.#options.send({ type: 'got', id: this.#received, again: false })
  }

  got({ id, again }: Extract<Control, { type: 'got' }>): void {
    if (id > this.#sent) return this.#options.breach('it acknowledged a text that was never sent')
    for (let first = this.#unacked[0]; first !== undefined && first.id <= id; first = this.#unacked[0]) {
      this.#unacked.shift()
      first.view = { ...first.view, isDelivered: true }
      this.#options.changed(first, false)
    }
    if (again) for (const record of this.#unacked) this.#transmit(record)
  }

  /** The application does not show this text any more. A text that is on its way remains. */
  remove(record: TextRecord): void {
    if (!record.view.isDelivered) return
    record.isRemoved = true
    if (this.#kept.delete(record)) this.#keptLength -= record.view.text.length
    if (this.#hasRefused) {
      this.#hasRefused = false
      this.#options.send({ type: 'got', id: this.#received, again: true })
    }
    this.#options.changed(record, false)
  }

  #record(direction: 'out' | 'in', id: number, text: string): TextRecord {
    const key = `text-${++this.#keys}`
    const at = this.#options.clock.now()
    const view: TransferText = { kind: 'text', key, direction, text, isDelivered: direction === 'in', at }
    const record = { view, id, isRemoved: false }
    this.#options.changed(record, true)
    return record
  }

  #transmit({ id, view: { text } }: TextRecord): void {
    for (let at = 0; at < text.length; at += TEXT_PIECE_LENGTH) {
      const more = at + TEXT_PIECE_LENGTH < text.length
      this.#options.send({ type: 'text', id, text: text.slice(at, at + TEXT_PIECE_LENGTH), more })
    }
  }
}
