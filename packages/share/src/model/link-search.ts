/** The other page may be coming back, such as after a restart of the server. */
const SOON_MS = 2_000
const SOON_TRIES = 15
/** Or its person opens it later. */
const LATER_MS = 15_000
const LATER_TRIES = 40

/** Tries a link again that has found nobody: for half a minute often, and then now and then for ten minutes. */
export class LinkSearch {
  #tries = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /** Whether another try follows. */
  get isOn(): boolean {
    return this.#timer !== undefined
  }

  /** Nobody was found. */
  again(retry: () => void): void {
    this.#pause()
    if (this.#tries >= SOON_TRIES + LATER_TRIES) return
    const waitMs = this.#tries++ < SOON_TRIES ? SOON_MS : LATER_MS
    // It counts as on while the try is under way, too.
    this.#timer = setTimeout(retry, waitMs)
  }

  /** Somebody was found, or the person does something else. */
  stop(): void {
    this.#pause()
    this.#tries = 0
  }

  #pause(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
