import type { Peer } from '@peerage/client'
import { PeerageError, connect } from '@peerage/client'
import type { Random } from '@peerage/test-support/random.js'
import { seeded } from '@peerage/test-support/random.js'
import type { History } from './history.js'

/** One application: an SDK, its name, and its history. */
export interface Actor {
  readonly name: string
  readonly who: string
  readonly peer: Peer
  /** The node it is connected to, from its welcome; undefined while it is not online. */
  readonly node: string | undefined
}

const SEND_EVERY_MS = 120
/** An actor with more unanswered sends than this waits, as an application would. */
const OPEN_MOST = 200

/** Continuous traffic between peers that connect through the balancer, recorded from their point of view. */
export class Traffic {
  readonly actors: Actor[] = []
  readonly #history: History
  readonly #random: Random
  readonly #orders = new Map<string, number>()
  readonly #open = new Map<string, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ending: Promise<boolean>[] = []
  #serial = 0

  constructor(history: History, seed: number) {
    this.#history = history
    this.#random = seeded(seed)
  }

  /** Connects and starts to listen. `who` differs from the name if several applications want one name. */
  async join(url: string, name: string, who = name): Promise<Actor> {
    const peer = await connect(url, { name, storage: null })
    let node: string | undefined
    const seen = (): void => {
      const { state } = peer
      if (state.state === 'online') {
        node = state.node
        this.#history.add({ type: 'holds', name, who, since: peer.since })
      } else {
        node = undefined
        this.#history.add({ type: 'lost', name, who })
      }
    }
    peer.on('state', seen)
    seen()
    peer.on('message', (_, data) => {
      this.#history.add({ type: 'received', id: String(data), to: name, since: peer.since })
    })
    const actor: Actor = {
      name,
      who,
      peer,
      get node() {
        return node
      },
    }
    this.actors.push(actor)
    return actor
  }

  /** Every actor sends to random others, again and again. */
  start(): void {
    for (const actor of this.actors) {
      const timer = setInterval(
        () => this.#sendSomewhere(actor),
        SEND_EVERY_MS * (0.75 + this.#random.next() / 2),
      )
      this.#timers.add(timer)
    }
  }

  /** Stops sending. Resolves when every send has been answered. */
  async quiet(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.#timers.clear()
    await Promise.all(this.#ending)
  }

  async stop(): Promise<void> {
    await this.quiet()
    await Promise.all(this.actors.map((actor) => actor.peer.leave()))
  }

  #sendSomewhere(actor: Actor): void {
    if ((this.#open.get(actor.who) ?? 0) >= OPEN_MOST) return
    const others = this.actors.filter((other) => other.name !== actor.name)
    if (others.length > 0) void this.send(actor, this.#random.pick(others).name)
  }

  /** Makes one send and records it from the request to the outcome. Resolves with whether it was delivered. */
  send(actor: Actor, to: string): Promise<boolean> {
    this.#serial++
    const id = `${actor.who}#${this.#serial}`
    const pair = JSON.stringify([actor.name, to])
    const order = (this.#orders.get(pair) ?? 0) + 1
    this.#orders.set(pair, order)
    this.#open.set(actor.who, (this.#open.get(actor.who) ?? 0) + 1)
    this.#history.add({ type: 'send', id, from: actor.name, to, order })
    const ending = this.#settle(actor, to, id)
    this.#ending.push(ending)
    return ending
  }

  async #settle(actor: Actor, to: string, id: string): Promise<boolean> {
    try {
      await actor.peer.send(to, id, { via: 'server' })
      this.#history.add({ type: 'settled', id, outcome: 'delivered' })
      return true
    } catch (error) {
      if (!(error instanceof PeerageError)) throw error
      const outcome = error.code === 'unavailable' || error.code === 'timeout' ? error.code : 'refused'
      this.#history.add({ type: 'settled', id, outcome, code: error.code })
      return false
    } finally {
      this.#open.set(actor.who, (this.#open.get(actor.who) ?? 1) - 1)
    }
  }
}
