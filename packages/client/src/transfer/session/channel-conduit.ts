import type { Channel } from '../../p2p/channel/channel.js'
import type { Message } from '../types.js'
import { releaseBytes } from '../release.js'
import type { OpenConduit } from './conduits.js'
import { Unheard } from './unheard.js'

/**
 * Messages over channels. Text goes over the first one, so it stays in order. Bytes go over whichever has room. If one
 * channel closes, messages may be lost, so all are closed.
 */
export class ChannelConduit implements OpenConduit {
  readonly way = 'channel'
  readonly first: Channel
  readonly #channels: Channel[] = []
  readonly #messages = new Unheard<Message>()
  #next = 0
  #closed: string | undefined
  #onClosed: ((reason: string) => void)[] = []

  constructor(first: Channel) {
    this.first = first
    this.add(first)
  }

  get messageBytesMax(): number {
    return Math.min(...this.#channels.map(({ messageBytesMax }) => messageBytesMax))
  }

  /** Uses one more channel for bytes. */
  add(channel: Channel): void {
    if (this.#closed !== undefined || channel.state !== 'open')
      return this.#over('a channel closed before it was used')
    this.#channels.push(channel)
    channel.on('message', (data) => this.#messages.push(data))
    channel.on('close', (reason) => this.#over(reason))
  }

  async send(message: Message): Promise<void> {
    try {
      if (typeof message === 'string') return await this.first.send(message)
      await this.#roomiest().send(message)
      // The stack has copied it.
      releaseBytes(message)
    } catch (error) {
      // The message is lost, whatever became of the channel.
      this.#over(error instanceof Error ? error.message : String(error))
      throw error
    }
  }

  onMessage(listener: (message: Message) => void): () => void {
    return this.#messages.listen(listener)
  }

  onClosed(listener: (reason: string) => void): void {
    if (this.#closed === undefined) this.#onClosed.push(listener)
    else listener(this.#closed)
  }

  /** A channel that is closed first sends what it has, so `flush` changes nothing. */
  async close(reason: string, _flush: boolean): Promise<void> {
    this.#over(reason)
    const closing = this.#channels.filter(({ state }) => state === 'closing')
    await Promise.all(closing.map((channel) => channel.close()))
  }

  #over(reason: string): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    // `close` never rejects: it resolves when the other side has everything, or after some seconds. A channel whose path
    // was lost is left alone, because the SDK opens it again.
    for (const channel of this.#channels) if (channel.state === 'open') void channel.close()
    for (const listener of this.#onClosed.splice(0)) listener(reason)
  }

  /** The channels take turns. Those that are full are left out, unless all are. */
  #roomiest(): Channel {
    const count = this.#channels.length
    for (let i = 0; i < count; i++) {
      const channel = this.#channels[(this.#next + i) % count]
      if (channel === undefined || channel.busy) continue
      this.#next = (this.#next + i + 1) % count
      return channel
    }
    return this.#channels[this.#next++ % count] ?? this.first
  }
}
