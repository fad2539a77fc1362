export type Handler = (payload: string) => void

/** Whether the node itself needs a channel, for its health, or a peer that joined a room or watches a name. */
export type NeededBy = 'node' | 'peer'

export interface Wanted {
  handler: Handler
  /** `active`: on the current connection. `lost`: it was active before. */
  state: 'new' | 'active' | 'lost'
  /** Callbacks that wait until it is active. */
  waiting: ((error?: Error) => void)[]
}

/** The wanted channels of one connection, and which of them are active. */
export class WantedChannels {
  readonly #channels = new Map<string, Wanted>()
  readonly channels: ReadonlyMap<string, Wanted> = this.#channels
  /** The node's own channels among them. */
  readonly #own = new Set<string>()
  /** How many were active, and are not active again yet. */
  #lost = 0

  /** Splits channels into the node's own and others. */
  split(channels: Iterable<string> = this.#channels.keys()): [own: string[], others: string[]] {
    const [own, others]: [string[], string[]] = [[], []]
    for (const channel of channels) (this.#own.has(channel) ? own : others).push(channel)
    return [own, others]
  }

  those(active: boolean): string[] {
    return [...this.#channels].flatMap(([channel, { state }]) =>
      (state === 'active') === active ? [channel] : [],
    )
  }

  /** Whether all the node's own channels are active. */
  get ownActive(): boolean {
    for (const channel of this.#own) if (this.#channels.get(channel)?.state !== 'active') return false
    return true
  }

  /** Whether all lost subscriptions are active again. A subscription that was never active has missed nothing. */
  get restored(): boolean {
    return this.#lost === 0
  }

  /** `state`: `lost` if it was active on another connection. */
  add(channel: string, handler: Handler, neededBy: NeededBy, state: 'new' | 'lost'): Wanted {
    if (neededBy === 'node') this.#own.add(channel)
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

  activate(wanted: Wanted): void {
    if (wanted.state === 'lost') this.#lost--
    wanted.state = 'active'
    settle(wanted)
  }

  /** The connection has ended, or Redis has ended some subscriptions. Returns whether any was active. */
  lose(): boolean {
    let lost = false
    for (const wanted of this.#channels.values()) {
      if (wanted.state !== 'active') continue
      lost = true
      wanted.state = 'lost'
      this.#lost++
    }
    return lost
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
