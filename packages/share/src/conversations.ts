import type { Channel, P2P } from '@peerage/client'
import { ConnectError, PeerageError } from '@peerage/client'
import type { Item } from './exchange.js'
import { Exchange } from './exchange.js'

/** Where this page and one other peer stand. */
export type Standing =
  | { stage: 'calling' }
  | { stage: 'open'; path: 'direct' | 'relayed'; sameLan: boolean }
  | { stage: 'closed'; why: string }
  | { stage: 'failed'; title: string; advice: string }

export interface Conversation {
  peer: string
  standing: Standing
  items: readonly Item[]
  /** While a channel is open. */
  exchange: Exchange | undefined
}

/** What conversations need of a P2P controller. */
export type Calls = Pick<P2P, 'connect' | 'on'>

/** One conversation a peer, in the order of their beginning. */
export class Conversations {
  readonly #p2p: Calls
  readonly #onChange: (all: readonly Conversation[]) => void
  /** The open channel to each peer. */
  readonly #channels = new Map<string, Channel>()
  #all: Conversation[] = []

  constructor(p2p: Calls, onChange: (all: readonly Conversation[]) => void) {
    this.#p2p = p2p
    this.#onChange = onChange
    p2p.on('channel-opened', (channel) => this.#open(channel))
    p2p.on('channel-closed', (channel, why) => this.#close(channel, why))
  }

  async call(peer: string): Promise<void> {
    this.#put(peer, { standing: { stage: 'calling' } })
    try {
      await this.#p2p.connect(peer)
    } catch (error) {
      this.#put(peer, { standing: { stage: 'failed', ...explain(error, peer) } })
    }
  }

  #open(channel: Channel): void {
    // A new channel may take the place of one whose end has not been heard yet.
    this.#of(channel.peer)?.exchange?.close('another channel took the place of its channel')
    const before = this.#of(channel.peer)?.items ?? []
    this.#channels.set(channel.peer, channel)
    const exchange = new Exchange(channel, before, (items) => this.#put(channel.peer, { items }))
    this.#put(channel.peer, { exchange, standing: { stage: 'open', path: 'direct', sameLan: false } })
    channel
      .info()
      .then(({ path, sameLan }) => {
        if (channel.state === 'open') this.#put(channel.peer, { standing: { stage: 'open', path, sameLan } })
      })
      .catch((error: unknown) => console.error(error))
  }

  #close(channel: Channel, why: string): void {
    const { peer } = channel
    if (this.#channels.get(peer) !== channel) return
    this.#channels.delete(peer)
    this.#of(peer)?.exchange?.close(`the channel ended before the file was complete and confirmed: ${why}`)
    this.#put(peer, { standing: { stage: 'closed', why }, exchange: undefined })
  }

  #of(peer: string): Conversation | undefined {
    return this.#all.find((one) => one.peer === peer)
  }

  #put(peer: string, change: Partial<Conversation>): void {
    const known = this.#of(peer)
    if (known) this.#all = this.#all.map((one) => (one === known ? { ...one, ...change } : one))
    else
      this.#all = [
        ...this.#all,
        { peer, standing: { stage: 'calling' }, items: [], exchange: undefined, ...change },
      ]
    this.#onChange(this.#all)
  }
}

/** An error in the words of whoever looks at the page. */
export function explain(error: unknown, peer: string): { title: string; advice: string } {
  if (error instanceof ConnectError) return explainStage(error, peer)
  if (error instanceof PeerageError && error.code === 'bad-name')
    return { title: 'No name of a peer', advice: `Ask for a fresh link. (${error.message})` }
  if (error instanceof PeerageError && error.code === 'closed')
    return { title: 'Not connected any more', advice: 'Reload this page.' }
  if (error instanceof PeerageError)
    return { title: `The tier refused: ${error.code}`, advice: error.message }
  return { title: 'Something went wrong', advice: error instanceof Error ? error.message : String(error) }
}

function explainStage({ stage, message }: ConnectError, peer: string): { title: string; advice: string } {
  switch (stage) {
    case 'not-found':
      return {
        title: 'Peer not found',
        advice: `Nobody is here under the name ${peer}. Is the other page still open? Ask for a fresh link.`,
      }
    case 'no-answer':
      return { title: 'No answer', advice: `${peer} did not answer in time, or declined. (${message})` }
    case 'ice':
      return {
        title: 'No path found (stage: ICE)',
        advice: `The two networks let nothing through. Another network or a TURN server helps. (${message})`,
      }
    case 'dtls':
      return { title: 'Not secured (stage: DTLS)', advice: `A path was found, but not secured. (${message})` }
    case 'timeout':
      return { title: 'Timed out', advice: `The channel did not open in time. Try again. (${message})` }
  }
}
