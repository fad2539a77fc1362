/** The least recently used entries leave when there are too many, or when they are too large together. */
export class BoundedCache<T> {
  readonly #most: number
  readonly #bytesMost: number
  readonly #entries = new Map<string, { value: T; bytes: number; endsAt: number }>()
  #bytes = 0

  constructor({ most, bytesMost }: { most: number; bytesMost: number }) {
    this.#most = most
    this.#bytesMost = bytesMost
  }

  /** `now` and `endsAt` are times of the same clock. */
  get(key: string, now: number): T | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#delete(key)
    if (entry.endsAt <= now) return undefined
    this.set(key, entry.value, entry)
    return entry.value
  }

  /** `bytes`: about how much memory the value takes. */
  set(key: string, value: T, { bytes, endsAt }: { bytes: number; endsAt: number }): void {
    this.#delete(key)
    this.#entries.set(key, { value, bytes, endsAt })
    this.#bytes += bytes
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#most && this.#bytes <= this.#bytesMost) return
      this.#delete(oldest)
    }
  }

  get size(): number {
    return this.#entries.size
  }

  clear(): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
  }
}
