import type { Conduit, Message } from '../types.js'
import type { Control } from './codec.js'
import { encodeControl } from './codec.js'

/** A conduit while it is attached. Once closed, it is never listened to again, so nothing stale comes from it. */
export class Link {
  readonly #conduit: Conduit
  readonly #stop: () => void
  readonly #onClose: () => void
  #isOpen = true

  constructor(conduit: Conduit, take: (message: Message, link: Link) => void, onClose: () => void) {
    this.#conduit = conduit
    this.#onClose = onClose
    this.#stop = conduit.onMessage((message) => {
      if (this.#isOpen) take(message, this)
    })
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get messageBytesMax(): number {
    return this.#conduit.messageBytesMax
  }

  /** Sends a control message. If the conduit is closed, it is dropped: after the next attach its content is sent anew. */
  send(message: Control): void {
    if (this.#isOpen) void this.sendBytes(encodeControl(message))
  }

  /** Resolves when there is room for more. False: the conduit is closed. */
  async sendBytes(message: Message): Promise<boolean> {
    if (!this.#isOpen) return false
    try {
      await this.#conduit.send(message)
    } catch {
      // `send` rejects when the conduit has closed, which the session hears, too.
      this.close()
    }
    return this.#isOpen
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#stop()
    this.#onClose()
  }
}

/** Wakes a loop that waits for something to do. */
export class Bell {
  #ring: () => void = () => undefined
  #isRung = false

  ring(): void {
    this.#isRung = true
    this.#ring()
  }

  /** Resolves at the next ring, or at once if the bell rang since the last wait. */
  async heard(): Promise<void> {
    if (!this.#isRung) await new Promise<void>((resolve) => (this.#ring = resolve))
    this.#isRung = false
  }
}
