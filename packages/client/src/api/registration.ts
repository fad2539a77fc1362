/** A registration lasts 30 s, so two renewals in a row may fail. */
const RENEW_MS = 10_000

/** An application server that stays registered until `stop`. */
export interface Registration {
  /** Changes the address or the status, at once. */
  update(changes: { address?: string; status?: string }): Promise<void>
  /** Removes the registration. */
  stop(): Promise<void>
}

export interface RegistrationOptions {
  put: () => Promise<void>
  remove: () => Promise<void>
  onError: (error: unknown) => void
}

/** Renews a registration. A renewal that fails is reported, and the next one tries again. */
export class Renewal {
  readonly #options: RegistrationOptions
  #timer: ReturnType<typeof setTimeout> | undefined
  #stopped = false

  constructor(options: RegistrationOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    await this.#options.put()
    this.#next()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#options.remove()
  }

  #next(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#options
        .put()
        .catch((error: unknown) => this.#options.onError(error))
        .finally(() => this.#next())
    }, RENEW_MS)
  }
}
