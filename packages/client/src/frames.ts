import { isObject } from '@peerage/protocol'
import { ROOM_BYTES, isFull } from './channel.js'
import type { Carrier, P2PContext, Stay } from './signaling.js'

type FramesContext = Pick<P2PContext, 'carriers' | 'onError'>

/** The second stream of every connection: delivery's frames, and the last word about the first stream. */
export class Frames {
  readonly #stream: RTCDataChannel
  readonly #context: FramesContext
  readonly #detach: () => void

  /** `onBye` is called when the other side closes, with the number of messages it sent. */
  constructor(context: FramesContext, to: Stay, stream: RTCDataChannel, onBye: (messages: number) => void) {
    this.#context = context
    this.#stream = stream
    const { carriers } = context
    const carrier: Carrier = { send: (frame) => this.#send(frame) }
    stream.bufferedAmountLowThreshold = ROOM_BYTES
    stream.addEventListener('bufferedamountlow', () => carriers.kick(to.name))
    stream.addEventListener('message', ({ data }: MessageEvent<string>) => {
      try {
        const frame: unknown = JSON.parse(data)
        if (isObject(frame) && frame['type'] === 'bye') onBye(Number(frame['messages']))
        else carriers.receive(to, frame, carrier)
      } catch (error) {
        context.onError(error)
      }
    })
    this.#detach = carriers.attach(to, carrier)
  }

  /** Goes out however much waits before it: it is said once. */
  bye(messages: number): void {
    this.#put({ type: 'bye', messages })
  }

  /** No longer a way for delivery. */
  close(): void {
    this.#detach()
  }

  #send(frame: object): boolean | 'full' {
    return this.#isOpen && isFull(this.#stream) ? 'full' : this.#put(frame)
  }

  get #isOpen(): boolean {
    return this.#stream.readyState === 'open'
  }

  #put(frame: object): boolean {
    if (!this.#isOpen) return false
    try {
      this.#stream.send(JSON.stringify(frame))
      return true
    } catch (error) {
      this.#context.onError(error)
      return false
    }
  }
}
