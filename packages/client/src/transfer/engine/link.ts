import type { Conduit, Message } from '../types.js'
import type { Control } from './codec.js'
import { encodeControl } from './codec.js'
import { QUEUE_LENGTH_MAX } from './limits.js'

/** Who hears of a link. */
export interface LinkListener {
  take(message: Message): void
  /** It is closed, by either side. */
  onClose(): void
  /** It is closed because the other side makes us answer and reads no answers. */
  onFull(): void
}

/** A conduit while it is attached. Once closed, it is never listened to again, so nothing stale comes from it. */
export class Link {
  readonly #conduit: Conduit
  readonly #stop: () => void
  readonly #listener: LinkListener
  #isOpen = true
  /** Characters of control messages that the conduit has not accepted yet. */
  #queued = 0
  /** Whether the other side said how it begins. */
  hasBegun = false

  constructor(conduit: Conduit, listener: LinkListener) {
    this.#conduit = conduit
    this.#listener = listener
    this.#stop = conduit.onMessage((message) => {
      if (this.#isOpen) listener.take(message)
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
    if (this.#isOpen) void this.#sendText(encodeControl(message))
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

  async #sendText(text: string): Promise<void> {
    this.#queued += text.length
    if (this.#queued > QUEUE_LENGTH_MAX) {
      this.close()
      return this.#listener.onFull()
    }
    await this.sendBytes(text)
    this.#queued -= text.length
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#stop()
    this.#listener.onClose()
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
