import { ASSEMBLY_BYTES_MAX, GRANT_STEP_BYTES, WINDOW_BYTES } from './limits.js'

/** What the receiver lets come, and what it holds in memory [FT11, FT13]. */
export class IncomingCredit {
  /** Payload bytes on this conduit. */
  #received = 0
  #granted = 0
  /** Payload bytes that arrived, on this conduit or an earlier one, and are neither written nor dropped. */
  #held = 0
  /** The memory of the blocks that they belong to. */
  #assembled = 0
  #heldMost = 0
  #assembledMost = 0

  /** The most that was held and assembled at once: for tests. */
  get most(): { held: number; assembled: number } {
    return { held: this.#heldMost, assembled: this.#assembledMost }
  }

  get held(): number {
    return this.#held
  }

  /** Whether the sender may send at all. */
  get isOpen(): boolean {
    return this.#granted > this.#received
  }

  /** A new conduit begins at 0. */
  begin(): void {
    this.#received = 0
    this.#granted = 0
  }

  /** Counts payload that arrived. False: it is above what was granted, and is not counted. */
  receive(bytes: number): boolean {
    if (this.#received + bytes > this.#granted) return false
    this.#received += bytes
    this.#held += bytes
    this.#heldMost = Math.max(this.#heldMost, this.#held)
    return true
  }

  /** Payload was written or dropped. */
  release(bytes: number): void {
    this.#held -= bytes
  }

  /** What to grant now. Undefined: too little to say. */
  next(): number | undefined {
    const grant = this.#received + WINDOW_BYTES - this.#held
    if (grant - this.#granted < GRANT_STEP_BYTES) return undefined
    return (this.#granted = grant)
  }

  /** Takes memory for a block. False: there is too much already. */
  reserve(bytes: number): boolean {
    if (this.#assembled + bytes > ASSEMBLY_BYTES_MAX) return false
    this.#assembled += bytes
    this.#assembledMost = Math.max(this.#assembledMost, this.#assembled)
    return true
  }

  free(bytes: number): void {
    this.#assembled -= bytes
  }
}

/** What the sender may send on this conduit. */
export class OutgoingCredit {
  #granted = 0
  #sent = 0

  begin(): void {
    this.#granted = 0
    this.#sent = 0
  }

  /** Takes a grant of the receiver. Returns what is wrong with it, if it is absurd [FT11]. */
  grant(bytes: number): string | undefined {
    if (bytes <= this.#granted) return 'a grant that does not grow'
    if (bytes > this.#sent + WINDOW_BYTES) return 'a grant of more than 8 MiB ahead'
    this.#granted = bytes
    return undefined
  }

  /** Takes room for a part. False: the receiver must grant more first. */
  take(bytes: number): boolean {
    if (this.#sent + bytes > this.#granted) return false
    this.#sent += bytes
    return true
  }
}
