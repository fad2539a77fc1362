import type { PeerConnectionClass } from '../p2p/options.js'
import { nodePeerConnection } from './controllers.js'

interface Stack {
  RTCPeerConnection: PeerConnectionClass
  /** From now on its connections carry nothing in either direction, and the other side does not see them close. */
  mute(): void
  /** Makes the newest connection report that it has lost its path. */
  lose(): void
}

/** A stack made of node-datachannel whose connections can lose their path. */
export async function fadingStack(): Promise<Stack> {
  const PeerConnection = await nodePeerConnection()
  const made: Fading[] = []
  class Fading extends PeerConnection {
    #isLost = false
    #isMute = false
    constructor(configuration?: RTCConfiguration) {
      super(configuration)
      made.push(this)
      ends.push(() => super.close())
    }
    override get connectionState(): RTCPeerConnectionState {
      return this.#isLost ? 'failed' : super.connectionState
    }
    override createDataChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel {
      const stream = super.createDataChannel(label, options)
      const send = (data: string): void => void (this.#isMute || Reflect.apply(sendOf, stream, [data]))
      const sendOf = stream.send.bind(stream)
      Object.assign(stream, { send })
      for (const type of ['message', 'close'])
        stream.addEventListener(type, (event) => this.#isMute && event.stopImmediatePropagation())
      return stream
    }
    override close(): void {
      if (!this.#isMute) super.close()
    }
    mute(): void {
      this.#isMute = true
    }
    lose(): void {
      this.#isLost = true
      this.dispatchEvent(new Event('connectionstatechange'))
    }
  }
  return {
    RTCPeerConnection: Fading,
    mute: () => made.forEach((connection) => connection.mute()),
    lose: () => made.at(-1)?.lose(),
  }
}

const ends: (() => void)[] = []

/** Closes all connections at the end of a test, muted or not. */
export function endFading(): void {
  for (const end of ends.splice(0)) end()
}
