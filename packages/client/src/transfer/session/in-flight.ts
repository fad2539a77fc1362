/** The SDK holds 8 MiB of unacknowledged text for all messages of a peer. Base64 makes 4 of these 3 MiB. */
const IN_FLIGHT_BYTES = 3 * 1024 * 1024

/** Bounds what all connections of a peer have under way through the server. They take turns. */
export class InFlight {
  #bytes = 0
  readonly #waiting: (() => void)[] = []

  /** Resolves when there is room, in the order of the calls. The bytes count until `give`. */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length > 0 || this.#bytes >= IN_FLIGHT_BYTES)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#bytes += bytes
    this.#next()
  }

  give(bytes: number): void {
    this.#bytes -= bytes
    this.#next()
  }

  #next(): void {
    if (this.#bytes < IN_FLIGHT_BYTES) this.#waiting.shift()?.()
  }
}
