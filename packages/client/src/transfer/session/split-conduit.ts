import type { Conduit, Message } from '../types.js'
import type { OpenConduit } from './conduits.js'
import { decodeControl, encodeControl, isControl } from './control.js'
import type { Control } from './control.js'
import { Unheard } from './unheard.js'

/** Messages that come before the session listens. An honest side waits for the welcome. */
const WAITING_MAX = 64

/** One conduit for two: the session's own messages go to `onControl`, all others to the transfer. */
export class SplitConduit implements Conduit {
  readonly conduit: OpenConduit
  readonly #transfer = new Unheard<Message>()
  readonly #controls = new Unheard<Control>()

  constructor(conduit: OpenConduit) {
    this.conduit = conduit
    conduit.onMessage((message) => {
      if (typeof message !== 'string' || !isControl(message)) this.#transfer.push(message)
      else {
        const control = decodeControl(message)
        if (control === undefined)
          return void conduit.close('the other side broke the protocol of sharing', false)
        this.#controls.push(control)
      }
      if (this.#transfer.waiting + this.#controls.waiting > WAITING_MAX)
        void conduit.close('the other side said too much before it was welcomed', false)
    })
  }

  get messageBytesMax(): number {
    return this.conduit.messageBytesMax
  }

  send(message: Message): Promise<void> {
    return this.conduit.send(message)
  }

  onMessage(listener: (message: Message) => void): () => void {
    return this.#transfer.listen(listener)
  }

  /** The oldest message about the session that nobody has listened for. */
  takeControl(): Control | undefined {
    return this.#controls.take()
  }

  onControl(listener: (control: Control) => void): () => void {
    return this.#controls.listen(listener)
  }

  /** If the conduit closes first, the session learns that by `onClosed`, so nobody waits for this. */
  say(control: Control): void {
    this.conduit.send(encodeControl(control)).catch(() => undefined)
  }
}
