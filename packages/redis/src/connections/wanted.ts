export type Handler = (payload: string) => void

/** Who needs a channel: the node itself, to be well, or a peer that joined or watches something. */
export type Whose = 'node' | 'peer'

export interface Wanted {
  handler: Handler
  /** Whether the subscription stands on the connection of now; `lost`: it did before. */
  state: 'new' | 'stands' | 'lost'
  /** Who waits until it stands. */
  waiting: ((error?: Error) => void)[]
}

/** The channels that one connection shall be subscribed to, and which of them stand. */
export class WantedChannels {
  readonly #channels = new Map<string, Wanted>()
  readonly channels: ReadonlyMap<string, Wanted> = this.#channels
  /** The node's own among them. */
  readonly #own = new Set<string>()
  /** How many stood, and do not yet stand again. */
  #lost = 0

  /** The node's own first, and apart. */
  split(channels: Iterable<string> = this.#channels.keys()): [own: string[], others: string[]] {
    const [own, others]: [string[], string[]] = [[], []]
    for (const channel of channels) (this.#own.has(channel) ? own : others).push(channel)
    return [own, others]
  }

  those(stand: boolean): string[] {
    return [...this.#channels].flatMap(([channel, { state }]) =>
      (state === 'stands') === stand ? [channel] : [],
    )
  }

  /** Whether the node's own all stand. */
  get ownStand(): boolean {
    for (const channel of this.#own) if (this.#channels.get(channel)?.state !== 'stands') return false
    return true
  }

  /** Whether nothing that stood is missing. What was never there has missed nothing. */
  get restored(): boolean {
    return this.#lost === 0
  }

  /** `state`: `lost` where it stood on another connection than this one. */
  add(channel: string, handler: Handler, whose: Whose, state: 'new' | 'lost'): Wanted {
    if (whose === 'node') this.#own.add(channel)
    const known = this.#channels.get(channel)
    if (known) {
      known.handler = handler
      return known
    }
    const wanted: Wanted = { handler, state, waiting: [] }
    this.#channels.set(channel, wanted)
    if (state === 'lost') this.#lost++
    return wanted
  }

  remove(channel: string): Wanted | undefined {
    const wanted = this.#channels.get(channel)
    this.#channels.delete(channel)
    this.#own.delete(channel)
    if (wanted?.state === 'lost') this.#lost--
    return wanted
  }

  stand(wanted: Wanted): void {
    if (wanted.state === 'lost') this.#lost--
    wanted.state = 'stands'
    settle(wanted)
  }

  /** The connection is gone, or some of it was taken away. Answers whether anything stood. */
  fall(): boolean {
    let fell = false
    for (const wanted of this.#channels.values()) {
      if (wanted.state !== 'stands') continue
      fell = true
      wanted.state = 'lost'
      this.#lost++
    }
    return fell
  }

  clear(error: Error): void {
    for (const wanted of this.#channels.values()) settle(wanted, error)
    this.#channels.clear()
    this.#own.clear()
    this.#lost = 0
  }
}

export function settle(wanted: Wanted, error?: Error): void {
  for (const waiting of wanted.waiting.splice(0)) waiting(error)
}
