import type { Channel, P2P } from '@peerage/client'
import { ConnectError, PeerageError } from '@peerage/client'
import type { Item } from './exchange.js'
import { Exchange } from './exchange.js'

/** The state of the connection to one other peer. */
export type Standing =
  | { stage: 'calling' }
  /** `path` is undefined until it is known. */
  | { stage: 'open'; path: 'direct' | 'relayed' | undefined; sameLan: boolean }
  | { stage: 'closed'; why: string }
  | { stage: 'failed'; title: string; advice: string }

export interface Conversation {
  peer: string
  standing: Standing
  items: readonly Item[]
  /** Undefined while no channel is open. */
  exchange: Exchange | undefined
}

/** The part of the P2P controller that conversations use. */
export type Calls = Pick<P2P, 'connect' | 'on'>

/** The conversations of this page, one for each peer, oldest first. */
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
    // A new channel may replace one whose end has not been reported yet.
    this.#of(channel.peer)?.exchange?.close('a new connection replaced this one')
    const before = this.#of(channel.peer)?.items ?? []
    this.#channels.set(channel.peer, channel)
    const exchange = new Exchange(channel, before, (items) => this.#put(channel.peer, { items }))
    this.#put(channel.peer, { exchange, standing: { stage: 'open', path: undefined, sameLan: false } })
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
    this.#of(peer)?.exchange?.close(
      `the connection closed before the file was complete and confirmed: ${why}`,
    )
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

/** A text about an error for the person who uses the page. */
export function explain(error: unknown, peer: string): { title: string; advice: string } {
  if (error instanceof ConnectError) return explainStage(error, peer)
  if (error instanceof PeerageError && error.code === 'bad-name')
    return { title: 'This link is not valid', advice: `Ask for a new link. (${error.message})` }
  if (error instanceof PeerageError && error.code === 'closed')
    return { title: 'This page is no longer connected', advice: 'Reload this page.' }
  if (error instanceof PeerageError)
    return { title: `Could not connect (${error.code})`, advice: sentence(error.message) }
  return { title: 'Something went wrong', advice: error instanceof Error ? error.message : String(error) }
}

function explainStage({ stage, message }: ConnectError, peer: string): { title: string; advice: string } {
  switch (stage) {
    case 'not-found':
      return {
        title: 'The other page was not found',
        advice: `Nobody has the name ${peer} now. Is the other page still open? Ask for a new link.`,
      }
    case 'no-answer':
      return { title: 'No answer', advice: `${peer} did not answer in time, or refused. (${message})` }
    case 'ice':
      return {
        title: 'The networks block the connection',
        advice: `The two browsers found no network path to each other (ICE). Try another network, or ask the operator of this server for a TURN server. (${message})`,
      }
    case 'dtls':
      return {
        title: 'The connection could not be encrypted',
        advice: `The browsers found a network path, but the encryption (DTLS) failed. Try again. (${message})`,
      }
    case 'timeout':
      return { title: 'Timed out', advice: `The connection did not open in time. Try again. (${message})` }
  }
}

/** The text with a capital letter and a full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!)]$/.test(text) ? '' : '.'}`
}
