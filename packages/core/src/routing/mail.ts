import type { Peer } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import { HeldBytes } from './held-bytes.js'
import type { Mailbox } from './mailbox.js'
import type { Message } from './message.js'
import type { Nodes } from '../names/nodes.js'
import type { Registry } from '../names/registry.js'
import { RegistryUnavailable } from '../names/registry.js'
import { presenceOf } from '../presence/presence.js'

export interface MailOptions {
  mailbox: Mailbox
  registry: Registry
  nodes: Nodes
  clock: Clock
  /** How long a name waits for its holder. */
  graceMs: number
  /** How long a queue waits for its peer. */
  expireMs: number
  /** Routes what waited for a peer that came in the very moment of the put. */
  arrived: (message: Message) => void
  /** Nobody came: tells the sender. */
  expired: (message: Message) => void
  onError: OnError
}

/** Registry time is not ours: ask a little late, so that the queue's age has surely passed. */
const EXPIRE_MARGIN_MS = 50
/** A store that is away or busy when a queue is over: its senders are told a little later. */
const EXPIRE_RETRY_MS = 1_000
const EXPIRE_TRIES = 5

/** Holds messages for absent peers, and tells their senders when nobody came. */
export class Mail {
  readonly #options: MailOptions
  #stopped = false
  readonly #held: HeldBytes
  /** One timer a queue: a queue that is made anew, known by its birth, gets its own. */
  readonly #expiries = new Map<Peer, { since: number; timer: Timer }>()

  constructor(options: MailOptions) {
    this.#options = options
    this.#held = new HeldBytes(options.clock, options.expireMs)
  }

  /**
   * False: the mailbox is full, or too much of this sender or of this node waits; the message was not kept. Rejects with
   * RegistryUnavailable: nor was it then. `gone` is the epoch of a holder that did not take the message, where there
   * was one: its socket ends before the registry knows, so that holder is no reason to route the message once more.
   */
  async hold(message: Message, gone?: number): Promise<boolean> {
    const { mailbox, arrived, onError } = this.#options
    const since = await this.#put(message)
    if (since === undefined) return false
    this.#expectExpiry(message.to, since)
    try {
      // The peer may have claimed and emptied its mailbox between our look-up and our put.
      if (await this.#isBack(message.to, gone))
        for (const waiting of await mailbox.take(message.to)) arrived(waiting)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      // It is kept all the same, and its sender is told when the queue is over.
      onError(error, { stage: 'mailbox check' })
    }
    return true
  }

  // Not by the router's look-up: it may join one that began before the message was put.
  async #isBack(peer: Peer, gone: number | undefined): Promise<boolean> {
    const { registry, nodes, graceMs } = this.#options
    const lease = await registry.lookup(peer)
    return lease?.epoch !== gone && presenceOf(lease, nodes, graceMs) === 'online'
  }

  /** When its queue was made. Undefined: not kept, and what was counted for it is given back. */
  async #put(message: Message): Promise<number | undefined> {
    const bytes = Buffer.byteLength(message.frame)
    if (!this.#held.take(message.from, bytes)) return undefined
    let since: number | undefined
    try {
      const put = await this.#options.mailbox.put(message.to, message)
      if (put.ok) since = put.since
      return since
    } finally {
      if (since === undefined) this.#held.give(message.from, bytes)
    }
  }

  /** What waits for a peer that has just claimed its name, in order. */
  take(peer: Peer): Promise<Message[]> {
    return this.#options.mailbox.take(peer)
  }

  stop(): void {
    this.#stopped = true
    for (const { timer } of this.#expiries.values()) timer.cancel()
    this.#expiries.clear()
  }

  #expectExpiry(peer: Peer, since: number): void {
    const expected = this.#expiries.get(peer)
    if (expected?.since === since) return
    expected?.timer.cancel()
    this.#expireAfter(this.#options.expireMs + EXPIRE_MARGIN_MS, peer, since, EXPIRE_TRIES)
  }

  #expireAfter(ms: number, peer: Peer, since: number, tries: number): void {
    const { mailbox, clock, expired, onError } = this.#options
    const timer = clock.after(ms, () => {
      this.#expiries.delete(peer)
      mailbox.expire(peer).then(
        (messages) => {
          for (const message of messages) expired(message)
        },
        (error: unknown) => {
          onError(error, { stage: 'mailbox expire' })
          // The senders still wait to be told; unless somebody has written since, and expects it anew.
          if (tries > 1 && !this.#stopped && !this.#expiries.has(peer))
            this.#expireAfter(EXPIRE_RETRY_MS, peer, since, tries - 1)
        },
      )
    })
    this.#expiries.set(peer, { since, timer })
  }
}
