import type { Channel, P2P, Peer } from '@peerage/client'
import { ConnectError, PeerageError } from '@peerage/client'
import type { Item } from './exchange.js'
import { Exchange } from './exchange.js'

/** The state of the connection to one other peer. */
export type Standing =
  | { stage: 'calling' }
  /** `path` is undefined until it is known. */
  | { stage: 'open'; path: 'direct' | 'relayed' | undefined; sameLan: boolean }
  | { stage: 'closed' }
  | { stage: 'failed'; title: string; advice: string }

export interface Conversation {
  peer: string
  standing: Standing
  /** True: the other page has no connection to the server. Undefined until the server has told. */
  isGone: boolean | undefined
  items: readonly Item[]
  /** Undefined while no channel is open. */
  exchange: Exchange | undefined
}

/** The part of the P2P controller that conversations use. */
export type Calls = Pick<P2P, 'connect' | 'on'>

/** The part of the peer that tells whether the other page is there. */
export type Presences = Pick<Peer, 'watch' | 'on'>

export const CLOSED = {
  title: 'The other page is closed',
  advice: 'Nobody is there now. Ask for a new link, or try again when the other page is open.',
}

/** The conversations of this page, one for each peer, oldest first. */
export class Conversations {
  readonly #peer: Presences
  readonly #p2p: Calls
  readonly #onChange: (all: readonly Conversation[]) => void
  /** The open channel to each peer. */
  readonly #channels = new Map<string, Channel>()
  #all: Conversation[] = []

  constructor(peer: Presences, p2p: Calls, onChange: (all: readonly Conversation[]) => void) {
    this.#peer = peer
    this.#p2p = p2p
    this.#onChange = onChange
    peer.on('presence', ({ name, state }) => {
      if (this.#of(name)) this.#put(name, { isGone: state !== 'online' })
    })
    p2p.on('channel-opened', (channel) => this.#open(channel))
    p2p.on('channel-closed', (channel, why) => this.#close(channel, why))
  }

  async call(peer: string): Promise<void> {
    // A call would wait 15 s for an answer.
    if (this.#of(peer)?.isGone === true) return this.#put(peer, { standing: { stage: 'failed', ...CLOSED } })
    this.#put(peer, { standing: { stage: 'calling' } })
    try {
      await this.#p2p.connect(peer)
    } catch (error) {
      console.warn(error)
      const why = this.#of(peer)?.isGone === true ? CLOSED : explain(error)
      this.#put(peer, { standing: { stage: 'failed', ...why } })
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
    console.info(`The channel to ${peer} closed: ${why}`)
    this.#of(peer)?.exchange?.close('the connection closed before the file was complete and confirmed')
    this.#put(peer, { standing: { stage: 'closed' }, exchange: undefined })
  }

  async #watch(peer: string): Promise<void> {
    try {
      const presence = await this.#peer.watch(peer)
      // An event that came meanwhile is newer than the answer.
      if (presence && this.#of(peer)?.isGone === undefined)
        this.#put(peer, { isGone: presence.state !== 'online' })
    } catch (error) {
      console.warn(error)
    }
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
        {
          peer,
          standing: { stage: 'calling' },
          isGone: undefined,
          items: [],
          exchange: undefined,
          ...change,
        },
      ]
    this.#onChange(this.#all)
    if (!known) void this.#watch(peer)
  }
}

/** A text about an error for the person who uses the page. */
export function explain(error: unknown): { title: string; advice: string } {
  if (error instanceof ConnectError) return explainStage(error)
  if (error instanceof PeerageError && error.code === 'bad-name')
    return { title: 'This link is not valid', advice: 'Ask for a new link.' }
  if (error instanceof PeerageError && error.code === 'closed')
    return { title: 'This page is no longer connected', advice: 'Reload this page.' }
  if (error instanceof PeerageError)
    return { title: `Could not connect (${error.code})`, advice: sentence(error.message) }
  return { title: 'Something went wrong', advice: error instanceof Error ? error.message : String(error) }
}

function explainStage({ stage }: ConnectError): { title: string; advice: string } {
  switch (stage) {
    case 'not-found':
      return CLOSED
    case 'no-answer':
      return { title: 'No answer', advice: 'The other page did not answer. Is it still open?' }
    case 'ice':
      return {
        title: 'The networks block the connection',
        advice:
          'The two browsers found no way to each other. Try another network, or ask the operator of this server for a TURN server.',
      }
    case 'dtls':
      return { title: 'The connection could not be encrypted', advice: 'Try again.' }
    case 'timeout':
      return { title: 'Timed out', advice: 'The connection did not open in time. Try again.' }
    case 'not-verified':
      return {
        title: 'The other page could not prove who it is',
        advice: 'Ask for a new link. If that does not help, somebody may have tampered with the connection.',
      }
  }
}

/** The text with a capital letter and a full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!)]$/.test(text) ? '' : '.'}`
}
