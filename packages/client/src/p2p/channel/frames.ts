import { isObject } from '@peerage/protocol'
import type { Carrier, P2PContext, Stay } from '../../delivery/signaling.js'
import type { Stream } from './stream.js'

export type FramesContext = Pick<P2PContext, 'carriers' | 'onError'>

/** The second stream of every connection: delivery's frames, and the last word about the first stream. */
export class Frames {
  readonly #stream: Stream
  readonly #context: FramesContext
  readonly #detach: () => void
  #isClosed = false

  /** `onBye` is called when the other side closes, with the number of messages it sent. */
  constructor(context: FramesContext, to: Stay, stream: Stream, onBye: (messages: number) => void) {
    this.#context = context
    this.#stream = stream
    const { carriers } = context
    const carrier: Carrier = { send: (frame) => this.#send(frame) }
    const hear = (data: unknown): void => {
      const frame: unknown = JSON.parse(String(data))
      if (isObject(frame) && frame['type'] === 'bye') onBye(Number(frame['messages']))
      else if (!this.#isClosed) carriers.receive(to, frame, carrier)
    }
    stream.listen(
      (data) => {
        try {
          hear(data)
        } catch (error) {
          context.onError(error)
        }
      },
      () => carriers.kick(to.name),
    )
    this.#detach = carriers.attach(to, carrier)
  }

  /** Goes out however much waits before it: it is said once. */
  bye(messages: number): void {
    this.#put({ type: 'bye', messages })
  }

  /** No longer a way for delivery; a goodbye is still heard. */
  close(): void {
    this.#isClosed = true
    this.#stream.stop()
    this.#detach()
  }

  #send(frame: object): boolean | 'full' {
    if (this.#isClosed) return false
    if (!this.#stream.isOpen || !this.#stream.isFull) return this.#put(frame)
    this.#stream.awaitRoom()
    return 'full'
  }

  #put(frame: object): boolean {
    if (!this.#stream.isOpen) return false
    try {
      this.#stream.send(JSON.stringify(frame))
      return true
    } catch (error) {
      // node-datachannel still says `open` for a moment when its stream has closed, and throws this.
      if (!/closed/i.test(String(error))) this.#context.onError(error)
      return false
    }
  }
}
